/** Runs one case on one set of rules in promtool and reads the number it comes to. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { durationText } from '../compiler/duration.ts';
import { feed } from '../compiler/emit/promtool/feed.ts';
import type { Objective } from '../compiler/model.ts';
import { runPromtool } from '../prove/run-promtool.ts';
import type { Case } from './cases.ts';
import type { Contestant } from './contestants.ts';

/** Null: the query answers nothing. */
export async function measure(options: {
  readonly objective: Objective;
  readonly contestant: Contestant;
  readonly question: Case;
  readonly promtool: string;
}): Promise<number | null> {
  const { contestant, objective, promtool, question } = options;
  const { atSeconds, evaluationSeconds, query, scrapeSeconds, spans, withoutBadSeries = false } = question;
  const folder = await mkdtemp(join(tmpdir(), 'slo-compare-'));
  try {
    await writeFile(join(folder, 'rules.yaml'), stringify({ groups: contestant.groups }));
    const file = join(folder, 'test.yaml');
    const test = {
      rule_files: ['rules.yaml'],
      evaluation_interval: durationText(evaluationSeconds),
      group_eval_order: contestant.groups.map(({ name }) => name),
      tests: [
        {
          name: 'case',
          interval: durationText(scrapeSeconds),
          input_series: feed({
            objective,
            scrapeSeconds,
            spans,
            instances: ['a'],
            withoutBadSeries,
            withDecoys: false,
          }),
          promql_expr_test: [
            {
              expr: query(contestant),
              eval_time: durationText(atSeconds),
              exp_samples: [{ labels: 'never{}', value: 0 }],
            },
          ],
        },
      ],
    };
    await writeFile(file, stringify(test));
    const [result] = await runPromtool({ promtool, file });
    const [failure] = result?.failures ?? [];
    if (failure === undefined || failure.expr === '')
      throw new Error(`${question.name}: ${failure?.got ?? 'no answer'}`);
    // What it got instead of the sample that never is.
    return failure.got === 'nil' ? null : Number(/(\S+)$/.exec(failure.got)?.[1] ?? Number.NaN);
  } finally {
    await rm(folder, { recursive: true });
  }
}
