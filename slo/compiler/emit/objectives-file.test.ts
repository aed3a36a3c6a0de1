import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { promqlNames } from '../promql-names.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { emitObjectivesFile, type ObjectiveEntry } from './objectives-file.ts';
import { recordedSeries } from './recorded-series.ts';

describe('objectives.json', () => {
  const files = emitObjectivesFile(GOLDEN_MODEL);
  const { objectives } = JSON.parse(files[0]?.text ?? '') as { readonly objectives: readonly ObjectiveEntry[] };

  it('is what was reviewed', () => assertGolden('objectives', files));

  it('asks one number of what the rules record, of the worst group where there are several', () => {
    const known = recordedSeries(GOLDEN_MODEL);
    for (const { budgetLeftQuery } of objectives) {
      const { metrics, unreadable } = promqlNames(budgetLeftQuery);
      assert.equal(unreadable, null);
      assert.deepEqual(
        metrics.filter((metric) => !known.has(metric)),
        [],
      );
      assert.match(budgetLeftQuery, /^min\(/);
    }
  });

  it('holds targets as they were written, without the residue of binary fractions', () => {
    assert.deepEqual(
      objectives.map(({ target, windowDays }) => [target, windowDays]),
      [
        [0.999, 30],
        [0.99, 30],
        [0.995, 30],
        [0.99, 30],
      ],
    );
  });
});
