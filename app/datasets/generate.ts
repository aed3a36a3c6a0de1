/**
 * Makes `datasets.json`: what other folders need to know of the datasets, as data, because they import no code of the
 * service. `--check` changes nothing and exits 1 when the file is not what the contracts say today.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { type Contract, type Field, modelFields } from './contract.ts';
import { loadDatasets, type Registry } from './registry.ts';

const FILE = new URL('datasets.json', import.meta.url);

/** The text of `datasets.json`: one object a dataset, in alphabetical order. */
export function datasetsDocument(registry: Registry): string {
  return `${JSON.stringify([...registry.contracts.values()].map(describeContract), null, 2)}\n`;
}

function describeContract(contract: Contract): object {
  const sent = Object.entries(contract.fields).map(([name, field]) => describeField(name, field, false));
  const derived = Object.entries(contract.derived?.fields ?? {}).map(([name, field]) =>
    describeField(name, field, true),
  );
  return {
    name: contract.name,
    version: contract.version,
    title: contract.title,
    description: contract.description,
    eventDate: contract.eventDate,
    identity: contract.identity,
    freshnessSeconds: contract.freshnessSeconds,
    expectEverySeconds: contract.expectEverySeconds ?? null,
    unclassified: contract.unclassified ?? null,
    retentionDays: contract.retentionDays,
    fields: [...sent, ...derived],
    gold: Object.entries(contract.gold).map(([name, model]) => ({
      name,
      view: `gold.${contract.name}_${name}`,
      kind: model.kind,
      description: model.description,
      columns: Object.keys(modelFields(contract, name) ?? {}),
    })),
  };
}

function describeField(name: string, field: Field, derived: boolean): object {
  return {
    name,
    type: field.type,
    unit: field.unit ?? null,
    optional: field.optional === true,
    personal: field.personal === true,
    derived,
  };
}

async function committed(): Promise<string | undefined> {
  return existsSync(FILE) ? await readFile(FILE, 'utf8') : undefined;
}

if (import.meta.main) {
  const document = datasetsDocument(await loadDatasets());
  if (!process.argv.includes('--check')) {
    await writeFile(FILE, document);
  } else if ((await committed()) !== document) {
    console.error('app/datasets/datasets.json: is not what the contracts say. Run npm run generate.');
    process.exitCode = 1;
  }
}
