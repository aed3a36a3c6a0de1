/** Dated exclusions against the policy's caps: time that is left out was still an outage for somebody. */
import { durationText } from './duration.ts';
import { BASE_WINDOW_SECONDS } from './model.ts';
import type { Problem } from './problems.ts';
import { durationSecondsOf, type Settings, type WrittenExclusion } from './settings.ts';

const PERIOD_SECONDS = 30 * 86_400;

export function exclusionProblems(options: {
  readonly settings: Settings;
  readonly objectives: readonly string[];
  readonly nowSeconds: number | null;
}): readonly Problem[] {
  const { nowSeconds, objectives, settings } = options;
  const { exclusions, policy, environment } = settings;
  const problems: Problem[] = [];
  const refuse = ({ id, place }: WrittenExclusion, message: string): void => {
    problems.push({ code: 'EXCLUSION_REFUSED', place, message: `${id} ${message}` });
  };
  for (const [index, exclusion] of exclusions.entries()) {
    const seconds = durationSecondsOf(exclusion);
    const { longest } = policy.exclusions;
    if (seconds <= 0) refuse(exclusion, 'ends before it starts. Mend start or end.');
    if (seconds > longest) {
      refuse(
        exclusion,
        `lasts ${durationText(seconds)}, the policy allows ${durationText(longest)}. Shorten it; what took longer was an outage.`,
      );
    }
    if (exclusions.findIndex(({ id }) => id === exclusion.id) !== index) {
      refuse(exclusion, 'is the id of another exclusion too. Name one of them otherwise.');
    }
    for (const name of exclusion.objectives) {
      if (!objectives.includes(name))
        refuse(exclusion, `names ${name}, which is no objective. There are: ${[...objectives].sort().join(', ')}.`);
    }
    if (nowSeconds !== null && exclusion.endSeconds + environment.retentionSeconds < nowSeconds) {
      const message = `${exclusion.id} ended longer ago than anything is kept. Remove it; the repository's history keeps it.`;
      problems.push({ code: 'EXCLUSION_PAST', place: exclusion.place, message });
    }
  }
  for (const name of objectives) problems.push(...capProblems(name, settings));
  return problems;
}

/** Together within any 30 days, and apart from each other: two that overlap would be subtracted twice. */
function capProblems(name: string, { exclusions, policy }: Settings): readonly Problem[] {
  const own = exclusions.filter(({ objectives }) => objectives.includes(name));
  const cap = policy.exclusions.perPeriod;
  return own.flatMap((exclusion, index): readonly Problem[] => {
    const next = own[index + 1];
    const problem = (message: string): Problem => ({
      code: 'EXCLUSION_REFUSED',
      place: exclusion.place,
      message: `${exclusion.id} ${message}`,
    });
    if (next !== undefined && next.startSeconds < exclusion.endSeconds + BASE_WINDOW_SECONDS) {
      return [problem(`and ${next.id} overlap for ${name}, or are less than 5m apart. Write them as one.`)];
    }
    const within = own.filter(
      ({ startSeconds }) =>
        startSeconds >= exclusion.startSeconds && startSeconds < exclusion.startSeconds + PERIOD_SECONDS,
    );
    const seconds = within.reduce((sum, one) => sum + durationSecondsOf(one), 0);
    if (seconds <= cap) return [];
    const message = `begins 30 days with ${durationText(seconds)} left out of ${name}, the policy allows ${durationText(cap)}. Shorten or remove one.`;
    return [problem(message)];
  });
}
