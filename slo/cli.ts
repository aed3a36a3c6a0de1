/**
 * `npm run slo -- VERB`: one file a verb, in `verbs/`. Each says its own usage; what they share is the exit codes and
 * that a wrong call is answered with the usage.
 */
import type { Verb } from './verbs/verb.ts';

const VERBS: Readonly<Record<string, () => Promise<{ readonly verb: Verb }>>> = {
  compile: () => import('./verbs/compile.ts'),
  check: () => import('./verbs/check.ts'),
  prove: () => import('./verbs/prove.ts'),
  explain: () => import('./verbs/explain.ts'),
  gate: () => import('./verbs/gate.ts'),
  backtest: () => import('./verbs/backtest.ts'),
  report: () => import('./verbs/report.ts'),
  backfill: () => import('./verbs/backfill.ts'),
  compare: () => import('./verbs/compare.ts'),
};
const WRONG_USAGE = 64;

process.exitCode = await main(process.argv.slice(2));

async function main([name, ...parameters]: readonly string[]): Promise<number> {
  const load = name === undefined ? undefined : VERBS[name];
  if (load === undefined) {
    const known = await Promise.all(Object.values(VERBS).map(async (one) => (await one()).verb.usage));
    const text = `Usage: npm run slo -- VERB\n${known.map((usage) => `  ${usage}`).join('\n')}\nExit codes: 0 done, 1 failed, 2 findings, ${WRONG_USAGE} wrong usage.`;
    if (name === '--help') {
      console.log(text);
      return 0;
    }
    console.error(name === undefined ? text : `No verb is called ${name}.\n${text}`);
    return WRONG_USAGE;
  }
  const { verb } = await load();
  try {
    return await verb.run(parameters);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
    console.error(`${(error as Error).message}\nUsage: npm run slo -- ${verb.usage}`);
    return WRONG_USAGE;
  }
}
