/** mocha's spec reporter that also writes `{passed, failed}` to the file named by `--reporter-option counts=FILE`. */
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

// biome-ignore lint/style/noDefaultExport: mocha takes a reporter as the module's default export.
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const file: unknown = options.reporterOptions?.counts;
    if (typeof file !== 'string') throw new Error('The counting reporter needs --reporter-option counts=FILE.');
    // Synchronous: mocha leaves right after its end event.
    runner.once('end', () =>
      writeFileSync(file, JSON.stringify({ passed: this.stats.passes, failed: this.stats.failures })),
    );
  }
}
