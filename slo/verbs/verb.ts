/** What every verb of the command line is. */

export interface Verb {
  /** After `npm run slo -- `, with what it does: `check  compares generated files with the objectives`. */
  readonly usage: string;
  /** Exit code: 0 done, 1 failed, 2 findings, 64 wrong usage. */
  run(parameters: readonly string[]): Promise<number>;
}
