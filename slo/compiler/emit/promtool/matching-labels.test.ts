import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Matcher } from '../../model.ts';
import { breaking, matchingLabels, selects, seriesText } from './matching-labels.ts';

const matcher = (label: string, op: Matcher['op'], value: string): Matcher => ({ label, op, value });

describe('labels that match', () => {
  for (const value of ['5..', '2..|304', 'stored|dead_lettered', '/|/docs.*', '60(\\.0)?', '(a|b)c?']) {
    it(`are found for =~ ${value}, and broken for it`, () => {
      const pattern = matcher('x', '=~', value);
      const selector = { metric: 'm', matchers: [pattern] };
      const labels = matchingLabels([pattern]);
      assert.ok(selects(selector, { metric: 'm', labels }), JSON.stringify(labels));
      assert.ok(!selects(selector, { metric: 'm', labels: breaking(labels, pattern) }));
    });
  }

  it('satisfy all matchers of a label at once', () => {
    const matchers = [matcher('method', '!=', 'other'), matcher('method', '=~', 'GET|other')];
    assert.deepEqual(matchingLabels(matchers), { method: 'GET' });
  });

  it('write a whole bucket bound as Prometheus stores it, and break it with the widest bucket', () => {
    const bound = matcher('le', '=', '5');
    const labels = matchingLabels([bound]);
    assert.equal(seriesText({ metric: 'm_bucket', labels }), 'm_bucket{le="5.0"}');
    assert.deepEqual(breaking(labels, bound), { le: '+Inf' });
  });

  it('are refused where no value is known to match, rather than proved with nothing', () => {
    assert.throws(
      () => matchingLabels([matcher('x', '=', 'a'), matcher('x', '=', 'b')]),
      /no value found for x="a",x="b"/,
    );
  });
});
