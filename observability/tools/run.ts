/**
 * `npm run tools -- NAME…` prints the path of each program, one a line, after building what the cache lacks. Without a
 * name it lists what there is.
 */
import { parseArgs } from 'node:util';
import { listTools, ToolError, toolPath, toolsCache } from './tools.ts';

const USAGE = `Usage: npm run tools -- [NAME…]
  Prints each program's path, building it once. Without a name: every program.
Exit codes: 0 done, 1 a build failed, 64 wrong usage.`;
const WRONG_USAGE = 64;

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    if (positionals.length === 0) {
      for (const tool of await listTools({ folder: import.meta.dirname, cache: toolsCache() })) {
        console.log(`${tool.name}\t${tool.path}`);
      }
      return 0;
    }
    // One after another: a build uses every core by itself.
    for (const name of positionals) console.log(await toolPath(name));
    return 0;
  } catch (error) {
    if (error instanceof ToolError) {
      console.error(error.message);
      return 1;
    }
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
    console.error(`${(error as Error).message}\n${USAGE}`);
    return WRONG_USAGE;
  }
}
