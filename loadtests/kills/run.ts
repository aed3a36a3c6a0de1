/**
 * The kill test: no 202 and no row of a file lost, none doubled, whatever the process was doing when it died.
 *
 * Each kill is SIGKILL to the real service on a folder that earlier kills left behind (folder.ts), at a seeded moment
 * or at a named point (dying.ts). After every few kills the folder is settled: every promised record is read back over
 * HTTP, the loss equation must be 0, and both again after the warehouse was rebuilt from bronze and bus.
 */
import { parseArgs } from 'node:util';
import { seededRandom } from '../seeded-random.ts';
import type { Tally } from './account.ts';
import { Deaths } from './deaths.ts';
import { type Dying, planOf } from './dying.ts';
import { KillFolder } from './folder.ts';

const HELP = `npm run test:kills -- [--runs N] [--seed S]

  --runs N   how many kills (default 25)
  --seed S   how and when each process dies and what it is sent (default: from the clock, printed).
             The same seed makes the same plan; which write a moment hits is the machine's.

The last line is kills=N sent=N stored=N lost=N duplicated=N seed=S, in records.
Exit codes: 0 nothing lost or doubled, 1 something was or the test could not be done, 64 wrong usage.`;

const KILLS_A_FOLDER = 5;
const USAGE = 64;

interface Options {
  readonly runs: number;
  readonly seed: number;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'number') return options;
  const { runs, seed } = options;
  const tally: Tally = { sent: 0, stored: 0, lost: 0, duplicated: 0 };
  const deaths = new Deaths();
  let failure: unknown;
  try {
    await killAll(options, { tally, deaths });
  } catch (error) {
    failure = error;
    console.error(error instanceof Error ? error.message : String(error));
  }
  console.log(deaths.table());
  const unmet = failure === undefined ? deaths.neverMet() : [];
  if (unmet.length > 0) console.error(`never reached: ${unmet.join(', ')}`);
  const { sent, stored, lost, duplicated } = tally;
  console.log(`kills=${deaths.count} sent=${sent} stored=${stored} lost=${lost} duplicated=${duplicated} seed=${seed}`);
  const held = lost === 0 && duplicated === 0 && deaths.count === runs && stored === sent;
  return held && failure === undefined && unmet.length === 0 ? 0 : 1;
}

function readOptions(): Options | number {
  try {
    const { values } = parseArgs({
      options: { runs: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (values.help === true) {
      console.log(HELP);
      return 0;
    }
    const runs = Number(values.runs ?? 25);
    const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
    if (Number.isInteger(runs) && runs > 0 && Number.isInteger(seed) && seed >= 0) return { runs, seed };
    console.error(`--runs and --seed are whole numbers.\n${HELP}`);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${HELP}`);
  }
  return USAGE;
}

async function killAll(
  { runs, seed }: Options,
  { tally, deaths }: { readonly tally: Tally; readonly deaths: Deaths },
): Promise<void> {
  const plan = planOf({ runs, random: seededRandom(seed) });
  let number = 0;
  const nextNumber = (): number => {
    number += 1;
    return number;
  };
  for (let kill = 0; kill < runs; ) {
    const folder = await KillFolder.make({ nextNumber, tally });
    try {
      for (const dying of plan.slice(kill, kill + KILLS_A_FOLDER)) {
        const { asPlanned, unanswered } = await folder.die({ dying, seed: seed + kill });
        kill += 1;
        deaths.add(dying, asPlanned);
        console.log(
          `kill ${kill}/${runs}: ${textOf(dying)}${asPlanned ? '' : ' (not reached)'}, ${unanswered} unanswered`,
        );
      }
      await folder.settle();
      console.log(`  settled: ${tally.stored} stored, ${tally.lost} lost, ${tally.duplicated} duplicated`);
    } finally {
      await folder.remove();
    }
  }
}

function textOf(dying: Dying): string {
  const beside = dying.beside === 'nothing' ? '' : `, beside: ${dying.beside}`;
  return dying.kind === 'point' ? `${dying.name}:${dying.passing}${beside}` : `${dying.afterMs} ms${beside}`;
}
