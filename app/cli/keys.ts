/** `npm run keys`: makes, lists and revokes API keys; works while the service runs. */
import { hash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { loadDatasets } from '../datasets/registry.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import type { ApiKey, Scope, State } from '../state/state.ts';
import { runCommand, UsageError } from './command.ts';

const SCOPES: readonly Scope[] = ['read', 'write', 'quarantine', 'load', 'admin'];

const HELP = `npm run keys -- COMMAND

  add --scope SCOPE [--scope SCOPE …] [--dataset NAME …] [--label TEXT]
                 makes a key and prints it once; scopes: ${SCOPES.join(', ')}
  list           shows every key without its secret
  revoke ID      ends a key at once

From the first key on every route asks for one, also after the last is revoked.
Each change is in the audit log (GET /v1/audit?step=key.add, key.revoke), without the secret.
Exit codes: 0 done, 1 failed, 64 wrong usage.`;

async function keys(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      scope: { type: 'string', multiple: true },
      dataset: { type: 'string', multiple: true },
      label: { type: 'string' },
    },
  });
  const [command, id] = positionals;
  const config = readConfig();
  const dir = resolve(config.DATA_DIR, 'state');
  const run = async (act: (state: State) => Promise<number>): Promise<number> => {
    await mkdir(dir, { recursive: true });
    const state = await openLmdbState({
      dir,
      now: Date.now,
      idempotencyHours: config.IDEMPOTENCY_HOURS,
      processId: process.pid,
    });
    try {
      return await act(state);
    } finally {
      await state.close();
    }
  };
  if (command === 'add') return run(await addKey(values));
  if (command === 'list') return run(listKeys);
  if (command === 'revoke' && id !== undefined) return run((state) => revokeKey(state, id));
  throw new UsageError(command === undefined ? 'a command is missing' : `there is no command ${positionals.join(' ')}`);
}

interface AddOptions {
  readonly scope?: readonly string[];
  readonly dataset?: readonly string[];
  readonly label?: string;
}

async function addKey({ scope = [], dataset, label = '' }: AddOptions): Promise<(state: State) => Promise<number>> {
  const scopes = scope.flatMap((one) => one.split(','));
  const wrong = scopes.filter((one) => !SCOPES.includes(one as Scope));
  if (scopes.length === 0 || wrong.length > 0) {
    throw new UsageError(`--scope ${wrong.join(', ') || 'is missing'}: choose of ${SCOPES.join(', ')}`);
  }
  const { contracts } = await loadDatasets();
  const unknown = (dataset ?? []).filter((name) => !contracts.has(name));
  if (unknown.length > 0)
    throw new UsageError(`--dataset ${unknown.join(', ')}: there are ${[...contracts.keys()].join(', ')}`);
  return async (state) => {
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const key: ApiKey = {
      id,
      secretHash: hash('sha256', secret),
      scopes: scopes as Scope[],
      ...(dataset === undefined ? {} : { datasets: dataset }),
      label,
      createdAtMs: Date.now(),
      createdBy: operator(),
    };
    await state.addApiKey(key);
    process.stdout.write(`vg_${id}_${secret}\n`);
    process.stderr.write('Keep it: it is shown once. Send it as "Authorization: Bearer <key>".\n');
    return 0;
  };
}

async function listKeys(state: State): Promise<number> {
  for (const key of await state.apiKeys()) {
    const ended = key.revokedAtMs === undefined ? 'active' : `revoked ${new Date(key.revokedAtMs).toISOString()}`;
    const datasets = key.datasets?.join(',') ?? 'all datasets';
    process.stdout.write(
      `${key.id}  ${key.scopes.join(',')}  ${datasets}  ${new Date(key.createdAtMs).toISOString()}  ${ended}  ${key.label}\n`,
    );
  }
  return 0;
}

async function revokeKey(state: State, id: string): Promise<number> {
  if (await state.revokeApiKey(id, { atMs: Date.now(), by: operator() })) {
    process.stdout.write(`${id} is revoked.\n`);
    return 0;
  }
  process.stderr.write(`There is no key ${id}; npm run keys -- list shows them.\n`);
  return 1;
}

/** Who the audit log names. In a container a user id may have no name. */
function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

await runCommand({ help: HELP, run: keys });
