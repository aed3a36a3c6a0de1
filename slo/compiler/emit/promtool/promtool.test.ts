import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { assertGolden } from '../golden.fixture.ts';
import { GOLDEN_MODEL } from '../golden-model.fixture.ts';
import { emitPromtoolProofs, proofSets } from './promtool.ts';

describe('promtool proofs', () => {
  it('are what was reviewed', () => {
    // One set of each kind; the others are the same text with other names.
    const reviewed = /(?:api-availability\.(?:pages|tickets-slow|excluded-pages)|pipeline-freshness\.pages)\.test/;
    assertGolden(
      'proofs',
      emitPromtoolProofs(GOLDEN_MODEL).filter(({ path }) => reviewed.test(path)),
    );
  });

  it('are YAML that promtool knows every key of', () => {
    const tests = emitPromtoolProofs(GOLDEN_MODEL).filter(({ path }) => path.endsWith('.test.yaml'));
    for (const { text } of tests) {
      const file = parse(text);
      assert.deepEqual(Object.keys(file), ['rule_files', 'evaluation_interval', 'tests']);
      for (const test of file.tests)
        assert.ok(test.input_series.length > 0 && test.promql_expr_test.length > 0, test.name);
    }
  });

  it('have a name each, so that a failure names one', () => {
    for (const { proofs } of proofSets(GOLDEN_MODEL)) {
      const names = proofs.map(({ name }) => name);
      assert.deepEqual(names, [...new Set(names)]);
    }
  });

  it('stay below the 10,000 samples that promtool loads of a series', () => {
    for (const { proofs } of proofSets(GOLDEN_MODEL)) {
      for (const { checks, intervalSeconds, name } of proofs) {
        const ends = checks.map((check) => (check.kind === 'query' ? check.atSeconds : check.toSeconds));
        assert.ok(Math.max(...ends) / intervalSeconds < 10_000, name);
      }
    }
  });
});
