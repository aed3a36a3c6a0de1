/**
 * What was promised for a data folder, held against what a service on it answers: every promised record as often as it
 * must be there, and none that nobody sent.
 */
import type { ServiceProcess } from '../service-process.ts';
import { readNumbers } from '../stored-records.ts';
import type { Dataset } from './numbered.ts';

/** Of the whole run, in records. */
export interface Tally {
  sent: number;
  stored: number;
  lost: number;
  duplicated: number;
}

export class Account {
  readonly #tally: Tally;
  /** Number → how often it must be stored. */
  readonly #promised = new Map<Dataset, Map<number, number>>([
    ['flights', new Map()],
    ['trips', new Map()],
  ]);
  /** Records that were told to be erased, and may not come back. */
  readonly #erased = new Set<number>();

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Sent over HTTP; counted before it is answered, because every one is answered in the end. */
  sent(count: number): void {
    this.#tally.sent += count;
  }

  /** Answered 202. */
  promise(dataset: Dataset, numbers: readonly number[]): void {
    for (const number of numbers) this.#of(dataset).set(number, Math.max(1, this.#of(dataset).get(number) ?? 0));
  }

  /** Renamed into the landing folder. The n-th of its content is the n-th also in a file that came before. */
  promiseFile(dataset: Dataset, numbers: readonly number[]): void {
    const inFile = new Map<number, number>();
    for (const number of numbers) {
      const times = dataset === 'flights' ? 1 : 1 + (inFile.get(number) ?? 0);
      inFile.set(number, times);
      const before = this.#of(dataset).get(number) ?? 0;
      if (times <= before) continue;
      this.#of(dataset).set(number, times);
      this.#tally.sent += times - before;
    }
  }

  erased(number: number): void {
    this.#erased.add(number);
  }

  /** Acknowledged, so that a file may bring them again. */
  get flights(): readonly number[] {
    return [...this.#of('flights').keys()];
  }

  /** What is promised now, and how often. */
  snapshot(): ReadonlyMap<Dataset, ReadonlyMap<number, number>> {
    return new Map([...this.#promised].map(([dataset, numbers]) => [dataset, new Map(numbers)]));
  }

  /** Adds to the tally what is lost or doubled. Throws for records that came from nowhere or back. */
  async compare(service: ServiceProcess): Promise<void> {
    for (const [dataset, promised] of this.#promised) {
      const seen = await readNumbers(service, dataset);
      for (const [number, times] of promised) {
        const found = seen.get(number) ?? 0;
        this.#tally.lost += Math.max(0, times - found);
        this.#tally.duplicated += Math.max(0, found - times);
        seen.delete(number);
      }
      const back = [...seen.keys()].filter((number) => dataset === 'flights' && this.#erased.has(number));
      if (back.length > 0) throw new Error(`${back.length} erased records are back, the first is ${back[0]}`);
      if (seen.size > 0) throw new Error(`${seen.size} records of ${dataset} came from nowhere`);
    }
  }

  /** All that was promised counts as stored, less what is lost. Once, at the end of the folder. */
  settle(): void {
    for (const numbers of this.#promised.values()) for (const times of numbers.values()) this.#tally.stored += times;
    this.#tally.stored -= this.#tally.lost;
  }

  get broken(): boolean {
    return this.#tally.lost + this.#tally.duplicated > 0;
  }

  #of(dataset: Dataset): Map<number, number> {
    const numbers = this.#promised.get(dataset);
    if (numbers === undefined) throw new Error(`no account of ${dataset}`);
    return numbers;
  }
}
