import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SequenceIndex } from './sequence-index.ts';

describe('SequenceIndex', () => {
  it('finds what a map would find after any adding and removing', () => {
    const step = fc.record({ text: fc.nat(40).map(String), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const index = new SequenceIndex();
        const model = new Map<string, Set<number>>();
        for (const [at, { text, remove }] of steps.entries()) {
          const sequences = model.get(text) ?? new Set<number>();
          model.set(text, sequences);
          const [first] = sequences;
          if (remove && first !== undefined) {
            index.remove(text, first);
            sequences.delete(first);
          } else {
            index.add(text, at + 1);
            sequences.add(at + 1);
          }
        }
        for (const [text, sequences] of model) assert.deepEqual(index.find(text).sort(ascending), [...sequences]);
        assert.equal(
          index.size,
          [...model.values()].reduce((sum, { size }) => sum + size, 0),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('keeps every entry while it grows and forgets all that is removed', () => {
    const index = new SequenceIndex();
    const texts = Array.from({ length: 5_000 }, (_, at) => `text-${at}`);
    for (const [at, text] of texts.entries()) index.add(text, at + 1);
    for (const [at, text] of texts.entries()) assert.deepEqual(index.find(text), [at + 1]);
    for (const [at, text] of texts.entries()) index.remove(text, at + 1);
    assert.equal(index.size, 0);
    assert.deepEqual(index.find('text-7'), []);
  });

  it('ignores the removal of what it does not hold', () => {
    const index = new SequenceIndex();
    index.add('one', 1);
    index.remove('one', 2);
    index.remove('two', 1);
    assert.deepEqual(index.find('one'), [1]);
  });
});

function ascending(one: number, other: number): number {
  return one - other;
}
