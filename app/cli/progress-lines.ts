/** How far a command is, for a person who waits: a line a second on standard error, none in the first one. */

const EVERY_MS = 1_000;

export function progressLines(
  say: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
  now: () => number = Date.now,
): (line: string) => void {
  let saidAtMs = now();
  return (line) => {
    if (now() - saidAtMs < EVERY_MS) return;
    saidAtMs = now();
    say(line);
  };
}
