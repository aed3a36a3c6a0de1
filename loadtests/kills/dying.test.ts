import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '../seeded-random.ts';
import { FAULT_POINTS, planOf } from './dying.ts';

const APP = fileURLToPath(new URL('../../app/', import.meta.url));
/** What `npm test` runs. */
const RUNS = 25;
/** Points that only tests of their own folder die at. */
const ELSEWHERE: readonly string[] = [
  // A command passes them, or a test waits there.
  'moved-aside',
  'stale-found',
  'while-backfilling',
  'while-restoring',
  // Nothing is old enough before the clock is days ahead.
  'retention-while-rewriting',
];

describe('the plan of a kill run', () => {
  it('has every point of the service within 25 kills, and a moment', () => {
    const plan = planOf({ runs: RUNS, random: seededRandom(1) });
    const points = plan.flatMap((dying) => (dying.kind === 'point' ? [dying.name] : []));
    assert.deepEqual(new Set(points), new Set(FAULT_POINTS.map(({ name }) => name)));
    assert.ok(plan.some(({ kind }) => kind === 'moment'));
    assert.equal(plan.length, RUNS);
  });

  it('is half moments when it is long, and the same for the same seed', () => {
    const plan = planOf({ runs: 1_000, random: seededRandom(7) });
    assert.equal(plan.filter(({ kind }) => kind === 'moment').length, 500);
    assert.deepEqual(planOf({ runs: 1_000, random: seededRandom(7) }), plan);
  });

  it('leaves out no point that the source names', async () => {
    const known = new Set([...FAULT_POINTS.map(({ name }) => name), ...ELSEWHERE]);
    const missing: string[] = [];
    for await (const file of glob('**/*.ts', { cwd: APP })) {
      if (/\.(test|contract|fixture)\.ts$/.test(file)) continue;
      const source = await readFile(`${APP}${file}`, 'utf8');
      for (const [, name = ''] of source.matchAll(/[pP]oint(?:\?\.)?\('([a-z-]+)'\)/g))
        if (!known.has(name)) missing.push(`${file}: ${name}`);
    }
    assert.deepEqual(missing, [], 'add it to FAULT_POINTS, with what must happen beside');
  });
});
