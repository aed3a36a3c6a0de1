/** The compiler among the generators: `--check` compares, without it the files are written. */
import { verb as check } from './verbs/check.ts';
import { verb as compile } from './verbs/compile.ts';

process.exitCode = await (process.argv.includes('--check') ? check : compile).run([]);
