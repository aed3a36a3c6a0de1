import assert from 'node:assert/strict';
import { matches, readSelector, selectorText } from './selector.ts';

describe('selectors', () => {
  it('are written as they were read, whatever quotes they came in', () => {
    const pairs = [
      ['up', 'up'],
      ['a:b{}', 'a:b'],
      ['a_total{x="1",y!=\'2\',z=~`3\\.4`}', 'a_total{x="1",y!="2",z=~"3\\\\.4"}'],
      ['a{x="say \\"5\\""}', 'a{x="say \\"5\\""}'],
      ['a{x=\'say "5"\'}', 'a{x="say \\"5\\""}'],
    ] as const;
    for (const [text, written] of pairs) {
      const read = readSelector(text);
      assert.ok(read.kind === 'selector', text);
      assert.equal(selectorText(read.selector), written);
    }
  });

  it('are refused when they are more, or less, than one metric with matchers', () => {
    const texts = [
      '',
      'a{',
      '{x="1"}',
      'rate(a[5m])',
      'sum(a)',
      'a[5m]',
      'a offset 5m',
      'a @ 5',
      'a + b',
      'a{"x"="1"}',
      '5',
    ];
    for (const text of texts) assert.equal(readSelector(text).kind, 'refused', text);
  });

  it('match label values as Prometheus does: regular expressions from end to end', () => {
    const matcher = (op: '=' | '!=' | '=~' | '!~', value: string) => ({ label: 'x', op, value });
    assert.ok(matches(matcher('=~', '5..'), '503'));
    assert.ok(!matches(matcher('=~', '5.'), '503'));
    assert.ok(matches(matcher('!~', '2..|304'), '503'));
    assert.ok(!matches(matcher('!~', '2..|304'), '304'));
    assert.ok(matches(matcher('=', '5..'), '5..'));
    assert.ok(matches(matcher('!=', '503'), '500'));
  });
});
