/** What every measurement is given, and how it is named. */
import type { Result } from './results.ts';

export interface MeasurementOptions {
  /** How often each side is measured, in turn; the median counts. */
  readonly rounds: number;
  /** The share of the full amount that a round sends: 1, or less with `--quick`. */
  readonly scale: number;
  /** Progress, one line. */
  readonly say: (line: string) => void;
}

export interface Measurement {
  /** What `--only` names. */
  readonly name: string;
  readonly about: string;
  /** Takes long, so it runs only when asked for by `--with` or `--only`. */
  readonly asked?: true;
  readonly measure: (options: MeasurementOptions) => Promise<readonly Result[]>;
}
