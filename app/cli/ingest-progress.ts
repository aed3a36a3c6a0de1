/** How far files are: one line that is written over on a terminal, plain lines now and then elsewhere. */
import type { WriteStream } from 'node:tty';
import { LANDING_ENDS, type LandingFile } from '../state/landing-file.ts';

export interface Progress {
  show(files: readonly LandingFile[]): void;
  close(): void;
}

const PLAIN_EVERY_MS = 5_000;
const BAR_CHARACTERS = 24;

export function openProgress(output: WriteStream, now: () => number = Date.now): Progress {
  let shown = '';
  // What is done within seconds needs no line.
  let shownAtMs = now();
  return {
    show: (files) => {
      const line = progressLine(files, now());
      if (line === shown) return;
      if (output.isTTY) {
        output.write(`\r${line.slice(0, output.columns - 1)}\u001b[K`);
      } else {
        if (now() - shownAtMs < PLAIN_EVERY_MS) return;
        output.write(`${line}\n`);
      }
      shown = line;
      shownAtMs = now();
    },
    close: () => {
      if (output.isTTY && shown !== '') output.write('\r\u001b[K');
    },
  };
}

/** What is known of all files together; rows a second and the time left are those of the file that is being stored. */
export function progressLine(files: readonly LandingFile[], nowMs: number): string {
  const over = files.filter(({ state }) => LANDING_ENDS.includes(state)).length;
  const current = files.find(({ state }) => !LANDING_ENDS.includes(state));
  const rejected = files.reduce((sum, { counts }) => sum + counts.rejected, 0);
  const which = files.length > 1 ? `${over} of ${files.length} files, ` : '';
  if (current === undefined)
    return files.length === 0 ? 'waiting for the folder to be looked at' : `${which}${rejected} rejected`;
  if (current.state === 'retrying') return `${which}${current.path}: ${current.error?.message ?? 'tried again soon'}`;
  const { records, counts, takenAtMs } = current;
  if (current.state !== 'storing' || records === undefined) return `${which}${current.path}: ${current.state}`;
  const seconds = Math.max(0.001, (nowMs - (takenAtMs ?? nowMs)) / 1000);
  const perSecond = counts.read / seconds;
  const left = perSecond === 0 ? '' : `, ${Math.ceil((records - counts.read) / perSecond)} s left`;
  const filled = Math.round((BAR_CHARACTERS * counts.read) / records);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_CHARACTERS - filled)}`;
  return `${which}${current.path}: ${bar} ${counts.read} of ${records} rows, ${Math.round(perSecond)} rows/s, ${rejected} rejected${left}`;
}

/** One line a file, for standard output. */
export function summaryOf(file: LandingFile): string {
  const { path, state, counts, error, takenAtMs, endedAtMs, movedTo } = file;
  const where = movedTo === undefined ? '' : `; now ${movedTo}`;
  if (state === 'skipped') return `${path}: skipped, all of it was stored before${where}`;
  if (state !== 'done') return `${path}: ${state}${where}. ${error?.message ?? ''}`.trimEnd();
  const seconds = Math.max(0, ((endedAtMs ?? 0) - (takenAtMs ?? 0)) / 1000);
  const { read, stored, duplicate, quarantined, rejected } = counts;
  const rows = `stored ${stored}, duplicate ${duplicate}, quarantined ${quarantined}, rejected ${rejected}`;
  return `${path}: ${rows} of ${read} rows in ${seconds.toFixed(1)} s${where}`;
}
