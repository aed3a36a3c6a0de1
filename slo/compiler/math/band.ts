/**
 * Between which moments an alert must appear and disappear when metrics are scraped and rules evaluated on a grid. The
 * formulas of `detection.ts` are continuous; these are the promises that proofs hold Prometheus to.
 */
import type { Environment, Indicator, Tier } from '../model.ts';
import { detection, type Fault, resetSeconds } from './detection.ts';

/** Seconds since the fault began or ended: not before `earliest`, not after `latest`. */
export interface Band {
  readonly earliestSeconds: number;
  readonly latestSeconds: number;
}

interface Question {
  readonly tier: Tier;
  readonly indicator: Indicator;
  readonly fault: Fault;
  readonly environment: Environment;
}

/**
 * [T, T + scrape + evaluation]. Two corrections to the left end, both from how Prometheus measures:
 * - a sum over evaluations counts the ramp of the 5-minute rates at their right ends, and the ramp is a scrape shorter
 *   than 5 minutes: half an evaluation and half a scrape early;
 * - `rate()` over W sees W − scrape and stretches it, which matters only where the traffic changed.
 */
export function firingBand(question: Question): Band | undefined {
  const { environment, fault, tier } = question;
  const found = detection(question);
  if (found.kind !== 'fires') return undefined;
  const lag = environment.scrapeSeconds + environment.evaluationSeconds;
  const changed = fault.trafficRatio !== undefined && question.indicator.kind !== 'slices';
  const stretched = changed ? (found.seconds * environment.scrapeSeconds) / tier.longSeconds : 0;
  const half = tier.windows === 'derived' ? (environment.evaluationSeconds + environment.scrapeSeconds) / 2 : 0;
  return { earliestSeconds: found.seconds - stretched - half, latestSeconds: found.seconds + lag };
}

/**
 * [R, R + scrape + evaluation]. The left end is earlier because `rate()` over a window sees one scrape less than it:
 * R × scrape/w where the short window w itself is a rate, one scrape where it adds up recorded 5-minute rates, and
 * there half an evaluation as above.
 */
export function resetBand(question: Question): Band {
  const { environment, tier } = question;
  const { evaluationSeconds, scrapeSeconds } = environment;
  const seconds = resetSeconds(question);
  const early =
    tier.windows === 'raw' ? (seconds * scrapeSeconds) / tier.shortSeconds : scrapeSeconds + evaluationSeconds / 2;
  return { earliestSeconds: seconds - early, latestSeconds: seconds + scrapeSeconds + evaluationSeconds };
}
