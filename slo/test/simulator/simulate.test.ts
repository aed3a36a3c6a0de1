import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decimal, decimalNumber } from '../../compiler/decimal.ts';
import { type Band, firingBand, resetBand } from '../../compiler/math/band.ts';
import type { Environment, Objective, TierName } from '../../compiler/model.ts';
import { ENVIRONMENT, ratioObjective, tierNamed } from '../objective-fixture.ts';
import { firstFiring, type Scrape, simulateRatio } from './simulate.ts';

const { scrapeSeconds, evaluationSeconds } = ENVIRONMENT;
const GRID_SECONDS = scrapeSeconds + evaluationSeconds;
const RUNS = 40;

/** Clean for `before`, then `errorRatio` of `traffic` × as many events for `during`, then clean for `after`. */
function step(options: {
  readonly events: number;
  readonly before: number;
  readonly during: number;
  readonly after?: number;
  readonly errorRatio: number;
  readonly traffic?: number;
  readonly scrapeSeconds: number;
}): Scrape[] {
  const part = (seconds: number, errorRatio: number, events: number): Scrape[] =>
    Array.from({ length: Math.round(seconds / options.scrapeSeconds) }, () => ({
      bad: events * errorRatio,
      good: events * (1 - errorRatio),
    }));
  const { events } = options;
  return [
    // The scrape that ends at 0.
    { good: 0, bad: 0 },
    ...part(options.before, 0, events),
    ...part(options.during, options.errorRatio, events * (options.traffic ?? 1)),
    ...part(options.after ?? 0, 0, events),
  ];
}

function only(objective: Objective, name: TierName): Objective {
  return { ...objective, tiers: [tierNamed(objective, name)] };
}

/** Formula and simulator on one step: what the formula allows, and what the simulator measured. */
function measure(options: {
  readonly objective: Objective;
  readonly name: TierName;
  readonly times: number;
  readonly traffic?: string;
  readonly environment?: Environment;
}): { readonly fired: Band & { readonly seconds: number }; readonly reset: Band & { readonly seconds: number } } {
  const { objective, name, times, traffic = '1', environment = ENVIRONMENT } = options;
  const tier = tierNamed(objective, name);
  const errorRatio = Math.min(1, Number((decimalNumber(tier.threshold) * times).toFixed(9)));
  const fault = {
    errorRatio: decimal(errorRatio),
    ...(traffic === '1' ? {} : { trafficRatio: decimal(traffic) }),
    eventsPerSecond: null,
  };
  const question = { tier, indicator: objective.indicator, fault, environment };
  const firing = firingBand(question);
  assert.ok(firing !== undefined);
  const onGrid = (seconds: number): number => Math.ceil(seconds / 300) * 300;
  const before = tier.longSeconds;
  const during = onGrid(firing.latestSeconds + tier.shortSeconds);
  const after = onGrid(tier.shortSeconds + 600);
  const scrapes = step({
    events: 10_000,
    before,
    during,
    after,
    errorRatio,
    traffic: Number(traffic),
    scrapeSeconds: environment.scrapeSeconds,
  });
  const simulation = simulateRatio({ objective: { ...objective, tiers: [tier] }, environment, scrapes });
  const last = simulation.firing.findLastIndex((names) => names.has(name)) * environment.evaluationSeconds;
  return {
    fired: { ...firing, seconds: (firstFiring(simulation, name) ?? Number.NaN) - before },
    reset: { ...resetBand(question), seconds: last + environment.evaluationSeconds - before - during },
  };
}

function assertWithin({ earliestSeconds, latestSeconds, seconds }: Band & { readonly seconds: number }): void {
  assert.ok(
    seconds >= earliestSeconds && seconds <= latestSeconds,
    `${seconds} not in [${earliestSeconds}, ${latestSeconds}]`,
  );
}

describe('simulator and formula', () => {
  const targets = fc.constantFrom('0.99', '0.995', '0.999', '0.9999');
  for (const name of ['fast', 'medium'] as const) {
    it(`agree within one scrape and one evaluation on when the ${name} tier fires and resets`, () => {
      fc.assert(
        fc.property(targets, fc.integer({ min: 2, max: 60 }), (target, times) => {
          const { fired, reset } = measure({ objective: ratioObjective({ target }), name, times });
          assertWithin(fired);
          assertWithin(reset);
        }),
        { numRuns: RUNS, seed: 1 },
      );
    });
  }

  it('agree when the fault takes traffic with it, or doubles it', () => {
    fc.assert(
      fc.property(
        targets,
        fc.integer({ min: 2, max: 60 }),
        fc.constantFrom('0.1', '0.5', '4'),
        (target, times, traffic) => {
          assertWithin(measure({ objective: ratioObjective({ target }), name: 'fast', times, traffic }).fired);
        },
      ),
      { numRuns: RUNS, seed: 2 },
    );
  });

  it('agree on tiers that are derived from recorded rates', () => {
    const environment = { ...ENVIRONMENT, scrapeSeconds: 60, evaluationSeconds: 60 };
    for (const times of [3, 10, 100, 333]) {
      const { fired, reset } = measure({ objective: ratioObjective(), name: 'slow', times, environment });
      assertWithin(fired);
      assertWithin(reset);
    }
  });

  it('agree that no error ratio at the threshold or below it fires, however long', () => {
    const scrapes = step({ events: 10_000, before: 0, during: 30_000, errorRatio: 0.0144 * 0.999, scrapeSeconds });
    const { firing } = simulateRatio({ objective: only(ratioObjective(), 'fast'), environment: ENVIRONMENT, scrapes });
    assert.equal(firing.filter((names) => names.size > 0).length, 0);
  });

  it('agree that a floor holds one error back and lets the third through', () => {
    const objective = ratioObjective({ badEventsMin: 3 });
    const scrapes: Scrape[] = Array.from({ length: 600 }, (_, at) =>
      at > 300 && at % 4 === 0 ? { good: 0, bad: 1 } : at % 4 === 0 ? { good: 1, bad: 0 } : { good: 0, bad: 0 },
    );
    const simulation = simulateRatio({ objective: only(objective, 'fast'), environment: ENVIRONMENT, scrapes });
    const fired = (firstFiring(simulation, 'fast') ?? Number.NaN) - 300 * scrapeSeconds;
    assert.ok(fired >= 120 && fired <= 180 + GRID_SECONDS, `fired ${fired}`);
  });
});

describe('simulator', () => {
  it('says that there is no data five minutes after the target is gone, not while it starts', () => {
    const scrapes: Scrape[] = Array.from({ length: 200 }, (_, at) =>
      at >= 80 && at < 160 ? null : { good: 10, bad: 0 },
    );
    const simulation = simulateRatio({ objective: ratioObjective(), environment: ENVIRONMENT, scrapes });
    const fired = firstFiring(simulation, 'no-data') ?? Number.NaN;
    const lastSample = 79 * scrapeSeconds;
    assert.ok(fired - lastSample >= 285 && fired - lastSample <= 330, `fired ${fired - lastSample}`);
    assert.equal(simulation.firing.at(-1)?.has('no-data'), false);
  });

  it('is quiet while a fault lasts that is older than the rules, until they ran long enough', () => {
    const scrapes = step({ events: 1000, before: 0, during: 20_000, errorRatio: 0.5, scrapeSeconds });
    const simulation = simulateRatio({ objective: ratioObjective(), environment: ENVIRONMENT, scrapes });
    assert.equal(firstFiring(simulation, 'medium'), 0.9 * 21_600);
  });
});
