/** Reads what the compiler is given from a folder laid out as `slo/`: the only place that knows where files lie. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { CompileInput } from './compiler/compile.ts';
import type { SourceFile } from './compiler/read-objects.ts';

/** The folder of objectives, and what stands beside it. */
export interface SloPlaces {
  /** `slo`, absolute. */
  readonly folder: string;
  /** How problems name it: relative to the repository. */
  readonly shownAs: string;
  /** The alert policies; `windows/30d.yaml` of the folder where left out. */
  readonly windows?: string;
  readonly datasetsFile: string;
}

const datasetsSchema = z.array(z.object({ name: z.string() }));

export const SLO_PLACES: SloPlaces = {
  folder: import.meta.dirname,
  shownAs: 'slo',
  datasetsFile: join(import.meta.dirname, '..', 'app', 'datasets', 'datasets.json'),
};

export async function loadSlo(places: SloPlaces, nowSeconds: number | null): Promise<CompileInput> {
  const names = (await readdir(join(places.folder, 'objectives'))).sort();
  const read = (name: string): Promise<SourceFile> => readSource(places, name);
  const [objectives, services, windows, environment, externalMetrics, policy, exclusions] = await Promise.all([
    Promise.all(names.filter((name) => name.endsWith('.yaml')).map((name) => read(`objectives/${name}`))),
    read('services.yaml'),
    places.windows === undefined ? read('windows/30d.yaml') : readNamed(places.windows),
    read('environment.yaml'),
    read('external-metrics.yaml'),
    read('policy.yaml'),
    read('exclusions.yaml'),
  ]);
  const datasets = datasetsSchema.parse(JSON.parse(await readFile(places.datasetsFile, 'utf8')));
  return {
    objectives,
    shared: [services, windows],
    environment,
    externalMetrics,
    policy,
    exclusions,
    datasets: datasets.map(({ name }) => name),
    runbooks: new Set(
      names.filter((name) => name.endsWith('.runbook.md')).map((name) => `${places.shownAs}/objectives/${name}`),
    ),
    nowSeconds,
  };
}

export async function loadFleet(places: SloPlaces): Promise<SourceFile> {
  return readSource(places, 'fleet.yaml');
}

/** Path as an objective names it → the half of its runbook that a person wrote. */
export async function loadRunbooks(places: SloPlaces): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(join(places.folder, 'objectives'))).filter((name) => name.endsWith('.runbook.md'));
  const files = [...names.map((name) => `objectives/${name}`), 'fleet.runbook.md'];
  const sources = await Promise.all(files.map((name) => readSource(places, name)));
  return new Map(sources.map(({ file, text }) => [file, text]));
}

async function readSource({ folder, shownAs }: SloPlaces, name: string): Promise<SourceFile> {
  return { file: `${shownAs}/${name}`, text: await readFile(join(folder, name), 'utf8') };
}

async function readNamed(file: string): Promise<SourceFile> {
  return { file, text: await readFile(file, 'utf8') };
}
