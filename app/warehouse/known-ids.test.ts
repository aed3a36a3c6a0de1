import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KnownIds } from './known-ids.ts';

const MIB = 2 ** 20;

describe('known ids', () => {
  let bytes = 0;
  const allow =
    (bytesMax: number) =>
    (more: number): boolean => {
      if (bytes + more > bytesMax) return false;
      bytes += more;
      return true;
    };
  beforeEach(() => {
    bytes = 0;
  });

  it('never calls an id new that it was told, over several layers', () => {
    const ids = new KnownIds({ ids: 0, allow: allow(64 * MIB) });
    const halves = (n: number): [number, number] => [Math.imul(n, 0x9e3779b1) >>> 0, Math.imul(n, 0x85ebca6b) >>> 0];
    let falselyKnown = 0;
    for (let n = 0; n < 900_000; n += 1) if (ids.add(...halves(n))) falselyKnown += 1;
    for (let n = 0; n < 900_000; n += 1) assert.equal(ids.add(...halves(n)), true);
    assert.ok(falselyKnown < 10, `${falselyKnown}`);
    assert.equal(bytes, 12 * MIB);
  });

  it('agrees with a set, also where halves are zero or collide', () => {
    const half = fc.oneof(fc.constantFrom(0, 1, 2 ** 20, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(half, half), { maxLength: 200 }), (pairs) => {
        const ids = new KnownIds({ ids: 0, allow: () => true });
        const told = new Set<string>();
        for (const [high, low] of pairs) {
          if (told.has(`${high}/${low}`)) assert.equal(ids.add(high, low), true);
          else ids.add(high, low);
          told.add(`${high}/${low}`);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('starts with one table for as many as are expected, and gives up where memory ends', () => {
    assert.equal(new KnownIds({ ids: 3_000_000, allow: allow(64 * MIB) }).usable, true);
    assert.equal(bytes, 32 * MIB);
    bytes = 0;
    const small = new KnownIds({ ids: 0, allow: allow(8 * MIB) });
    for (let n = 0; n < 740_000; n += 1) small.add(n, n + 1);
    assert.equal(small.usable, false);
    assert.equal(small.add(740_001, 1), true);
    assert.equal(bytes, 0);
  });
});
