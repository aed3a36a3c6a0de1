/** `npm run keys`: makes, lists and revokes API keys; works while the service runs. */
import { hash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { loadDatasets } from '../datasets/registry.ts';
import type { ApiKey, Scope, State } from '../state/state.ts';
import { userName } from '../system-error.ts';
import { runCommand, UsageError } from './command.ts';
import { openState, presentDataDir } from './data-folder.ts';

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
  const [command, id, more] = positionals;
  const config = readConfig();
  const run = async (act: (state: State) => Promise<number>): Promise<number> => {
    const state = await openState(config);
    try {
      return await act(state);
    } finally {
      await state.close();
    }
  };
  if (more !== undefined) throw new UsageError(`${more}: that is too much`);
  switch (command) {
    case 'add': {
      if (id !== undefined) throw new UsageError(`${id}: add takes options only`);
      const add = await addKey(values);
      // A key may be made before the first start.
      await mkdir(resolve(config.DATA_DIR, 'state'), { recursive: true });
      return run(add);
    }
    case 'list':
      if (id !== undefined) throw new UsageError(`${id}: list takes nothing`);
      presentDataDir(config);
      return run(listKeys);
    case 'revoke':
      if (id === undefined) throw new UsageError('say which: npm run keys -- revoke ID');
      presentDataDir(config);
      return run((state) => revokeKey(state, id));
    default:
      throw new UsageError(command === undefined ? 'a command is missing' : `there is no command ${command}`);
  }
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
      createdBy: userName(),
    };
    await state.addApiKey(key);
    process.stdout.write(`vg_${id}_${secret}\n`);
    process.stderr.write('Keep it: it is shown once. Send it as "Authorization: Bearer <key>".\n');
    return 0;
  };
}

async function listKeys(state: State): Promise<number> {
  const all = await state.apiKeys();
  if (all.length === 0) process.stderr.write('No key was ever made: no route asks for one.\n');
  for (const key of all) {
    const ended = key.revokedAtMs === undefined ? 'active' : `revoked ${new Date(key.revokedAtMs).toISOString()}`;
    const datasets = key.datasets?.join(',') ?? 'all datasets';
    process.stdout.write(
      `${key.id}  ${key.scopes.join(',')}  ${datasets}  ${new Date(key.createdAtMs).toISOString()}  ${ended}  ${key.label}\n`,
    );
  }
  return 0;
}

async function revokeKey(state: State, id: string): Promise<number> {
  if (await state.revokeApiKey(id, { atMs: Date.now(), by: userName() })) {
    process.stdout.write(`${id} is revoked.\n`);
    return 0;
  }
  process.stderr.write(`There is no key ${id}; npm run keys -- list shows them.\n`);
  return 1;
}

await runCommand({ help: HELP, run: keys });
