/** ISO 8601 weeks: they begin on Monday, and week 1 is the one that holds 4 January. */

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

/** Midnight of the week's Monday and of the next one, epoch ms of a wall clock read as UTC. */
export function isoWeekBounds(year: number, week: number): { readonly fromMs: number; readonly toMs: number } {
  const fromMs = firstMonday(year) + (week - 1) * WEEK_MS;
  return { fromMs, toMs: fromMs + WEEK_MS };
}

/** 52 or 53. */
export function isoWeeksInYear(year: number): number {
  return (firstMonday(year + 1) - firstMonday(year)) / WEEK_MS;
}

function firstMonday(year: number): number {
  const fourth = Date.UTC(year, 0, 4);
  const daysSinceMonday = (new Date(fourth).getUTCDay() + 6) % 7;
  return fourth - daysSinceMonday * DAY_MS;
}
