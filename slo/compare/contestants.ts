/** The same promise as two sets of rules: ours, and what sloth generates from its own specification of it. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { toolPath } from '../../observability/tools/tools.ts';
import { decimalText, multiply } from '../compiler/decimal.ts';
import { decimal } from '../compiler/decimal.ts';
import { ruleGroups } from '../compiler/emit/prometheus.ts';
import type { Objective } from '../compiler/model.ts';
import { selectorText } from '../compiler/selector.ts';
import { rawRatio, weightedRatio } from '../compiler/series.ts';

export interface Contestant {
  readonly name: 'vigia' | 'sloth';
  /** Groups in the order of their evaluation. */
  readonly groups: readonly RuleGroupData[];
  /** What each one calls the same things. */
  readonly ratio5m: string;
  readonly ratio30d: string;
  /** Matchers of ALERTS. */
  readonly pages: string;
  readonly alerts: string;
}

const groupSchema = z.object({
  name: z.string(),
  rules: z.array(z.looseObject({ record: z.string().optional(), alert: z.string().optional(), expr: z.string() })),
});
export type RuleGroupData = z.infer<typeof groupSchema>;

export function ours(objective: Objective): Contestant {
  const ids = `{slo=${JSON.stringify(objective.name)}}`;
  return {
    name: 'vigia',
    groups: ruleGroups({ ...objective, exclusions: [] }).map((group) => groupSchema.parse(group)),
    ratio5m: `${rawRatio(300)}${ids}`,
    ratio30d: `${weightedRatio(objective.periodSeconds)}${ids}`,
    pages: `alertname="SLOBurn",severity="page"`,
    alerts: `alertname=~"SLO.*"`,
  };
}

/** Sloth's own format, with its default windows for 30 days: 14.4, 6, 3 and 1 times the budget, as ours. */
export async function sloths(objective: Objective): Promise<Contestant> {
  const { indicator } = objective;
  if (indicator.kind !== 'bad-ratio') throw new Error(`${objective.name} has no bad events to count`);
  const rate = (selector: typeof indicator.bad): string => `sum(rate(${selectorText(selector)}[{{.window}}]))`;
  const specification = {
    version: 'prometheus/v1',
    service: objective.service,
    slos: [
      {
        name: objective.name,
        objective: Number(decimalText(multiply(objective.target, decimal(100)))),
        description: objective.description,
        sli: { events: { error_query: rate(indicator.bad), total_query: rate(indicator.total) } },
        alerting: { name: 'Sloth', page_alert: {}, ticket_alert: {} },
      },
    ],
  };
  const folder = await mkdtemp(join(tmpdir(), 'slo-sloth-'));
  try {
    const [input, output] = [join(folder, 'in.yaml'), join(folder, 'out.yaml')];
    await writeFile(input, stringify(specification));
    await promisify(execFile)(await toolPath('sloth'), ['generate', '--no-log', '-i', input, '-o', output]);
    const { groups } = z.object({ groups: z.array(groupSchema) }).parse(parse(await readFile(output, 'utf8')));
    return {
      name: 'sloth',
      groups,
      ratio5m: 'slo:sli_error:ratio_rate5m',
      ratio30d: 'slo:sli_error:ratio_rate30d',
      pages: 'sloth_severity="page"',
      alerts: 'sloth_severity=~".+"',
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
