/** Durations as Prometheus writes them, in whole seconds: `5m`, `1h30m`, `30d`. */

const UNITS = [
  ['w', 604_800],
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;
const DURATION = /^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;

/** Seconds, or undefined where the text is not a duration (`0m` and `0s` are 0). */
export function readDuration(text: string): number | undefined {
  const groups = text === '' ? null : DURATION.exec(text);
  if (groups === null) return undefined;
  return UNITS.reduce((sum, [, seconds], index) => sum + Number(groups[index + 1] ?? 0) * seconds, 0);
}

/** The text people use for it: 300 → `5m`, 5400 → `1h30m`, 2592000 → `30d`. Never weeks: `28d` says more than `4w`. */
export function durationText(seconds: number): string {
  let left = seconds;
  let text = '';
  for (const [unit, size] of UNITS) {
    if (unit === 'w') continue;
    const count = Math.floor(left / size);
    if (count > 0) text += `${count}${unit}`;
    left -= count * size;
  }
  return text === '' ? '0s' : text;
}
