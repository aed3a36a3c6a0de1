/**
 * A past for a new objective: its 5-minute rates as blocks that Prometheus reads, so that its budget is known from the
 * first day on. Rules that are filled in afterwards cannot read one another, so what each records is put in.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Rule, ruleGroups } from '../compiler/emit/prometheus.ts';
import { ruleFileText } from '../compiler/emit/promtool/proof.ts';
import { BASE_WINDOW_SECONDS, type Objective } from '../compiler/model.ts';
import { badRate, SERIES, totalRate } from '../compiler/series.ts';
import { inlined } from './inlined.ts';

/** A month of one objective at a minute takes seconds on a machine of its own. */
const TIMEOUT_MS = 30 * 60_000;

/** Rules that make what budgets, tickets and coverage read. Rules count as run wherever there was something to measure. */
function backfillRules(objective: Objective): readonly Rule[] {
  const rules = ruleGroups(objective).flatMap((group) => group.rules);
  const [total, bad] = [totalRate(BASE_WINDOW_SECONDS), badRate(BASE_WINDOW_SECONDS)].map((name) => {
    const rule = rules.find((one) => 'record' in one && one.record === name);
    if (rule === undefined || !('record' in rule)) throw new Error(`${objective.name} does not record ${name}`);
    return { ...rule, expr: inlined(rule.expr, rules) };
  });
  if (total === undefined || bad === undefined) throw new Error(`${objective.name} has no rates`);
  return [total, bad, { ...total, record: SERIES.evaluated, expr: `0 * count(${total.expr}) + 1` }];
}

/** Blocks below `folder`; put them into Prometheus' data folder and restart it, or let its shipper take them. */
export async function backfill(options: {
  readonly objective: Objective;
  readonly url: string;
  readonly promtool: string;
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stepSeconds: number;
  readonly folder: string;
}): Promise<void> {
  const { folder, fromSeconds, objective, promtool, stepSeconds, toSeconds, url } = options;
  const work = await mkdtemp(join(tmpdir(), 'slo-backfill-'));
  try {
    const file = join(work, 'rules.yaml');
    await writeFile(file, ruleFileText([{ name: `slo-${objective.name}`, rules: backfillRules(objective) }]));
    const range = [`--start=${fromSeconds}`, `--end=${toSeconds}`, `--eval-interval=${stepSeconds}s`];
    const parameters = [
      'tsdb',
      'create-blocks-from',
      'rules',
      `--url=${url}`,
      ...range,
      `--output-dir=${folder}`,
      file,
    ];
    await promisify(execFile)(promtool, parameters, { timeout: TIMEOUT_MS });
  } finally {
    await rm(work, { recursive: true });
  }
}
