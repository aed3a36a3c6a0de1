/**
 * Brings a silver table to what its contract says now, in place and in one transaction, or refuses with the field and
 * the reason.
 *
 * Rows go into a new table with the columns in the contract's order, because what stores rows names none. Rows of
 * before have NULL in new columns; derived ones get their values by `npm run backfill`.
 */
import type { Contract } from '../datasets/contract.ts';
import { refusalsOf, type StoredContract, storedContractOf } from './contract-evolution.ts';
import { literal, quoted, type Sql, StartError } from './duckdb-session.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
}

interface EvolveOptions {
  readonly contract: Contract;
  readonly table: string;
  /** What the contract says now, own columns included. */
  readonly columns: readonly Column[];
}

/** Once, for a database that was made before contracts were kept in it. True when it changed something. */
export async function keepContracts(sql: Sql): Promise<boolean> {
  const [found] = await sql.rows(
    "SELECT count(*)::INTEGER AS columns FROM duckdb_columns() WHERE schema_name = 'custody' AND table_name = 'datasets' AND column_name = 'contract'",
  );
  if (found?.columns === 1) return false;
  await sql.run('ALTER TABLE custody.datasets ADD COLUMN contract VARCHAR');
  return true;
}

/** Of a table just made. */
export async function keepContract(sql: Sql, contract: Contract): Promise<void> {
  await sql.run('DELETE FROM custody.datasets WHERE dataset = $1', [contract.name]);
  await sql.run('INSERT INTO custody.datasets VALUES ($1, $2, $3)', [
    contract.name,
    contract.version,
    JSON.stringify(storedContractOf(contract)),
  ]);
}

/** True when the table changed. Throws StartError. */
export async function evolveTable(sql: Sql, options: EvolveOptions): Promise<boolean> {
  const { contract } = options;
  const [kept] = await sql.rows(
    'SELECT contract_version AS version, contract FROM custody.datasets WHERE dataset = $1',
    [contract.name],
  );
  const now = JSON.stringify(storedContractOf(contract));
  const stored = await storedColumns(sql, contract.name);
  const same = textOf(stored) === textOf(options.columns);
  if (same && kept?.contract === now) return false;
  const before = typeof kept?.contract === 'string' ? (JSON.parse(kept.contract) as StoredContract) : undefined;
  const refusals = new Set([
    ...(before === undefined ? [] : refusalsOf(before, storedContractOf(contract))),
    ...(before === undefined ? columnRefusals(options, stored) : derivedRefusals(options, stored)),
  ]);
  if (refusals.size > 0) throw refused(contract, Number(kept?.version), [...refusals]);
  await sql.transaction(async () => {
    if (!same) await remake(sql, options, stored);
    await keepContract(sql, contract);
  });
  return !same;
}

function refused(contract: Contract, version: number, refusals: readonly string[]): StartError {
  const { name } = contract;
  return new StartError(
    `silver.${name} holds rows of version ${version} of its contract, and version ${contract.version} does not fit them: ${refusals.join('; ')}. ` +
      'In place, a contract takes new optional fields and wider ones. Go back to the old contract, or make a new version of it beside it: ' +
      `a dataset of its own (${name}_v${Math.max(contract.version, version + 1)}). Only where derived fields changed, npm run warehouse:rebuild makes the table anew.`,
  );
}

async function storedColumns(sql: Sql, dataset: string): Promise<readonly Column[]> {
  const rows = await sql.rows(
    "SELECT column_name AS name, data_type AS type FROM duckdb_columns() WHERE schema_name = 'silver' AND table_name = $1 ORDER BY column_index",
    [dataset],
  );
  return rows.map(({ name, type }) => ({ name: String(name), type: String(type) }));
}

/** What only the tables can tell: of a contract that was not kept. */
function columnRefusals({ contract, columns }: EvolveOptions, stored: readonly Column[]): readonly string[] {
  const optional = (name: string): boolean =>
    Object.entries(contract.fields).every(([field, { optional = false }]) => {
      const mine = name === field || name === `${field}_lon` || name === `${field}_lat`;
      return !mine || optional;
    });
  const missing = columns.filter(({ name }) => !stored.some((one) => one.name === name) && !optional(name));
  return [
    ...missing.map(({ name }) => `${name} is new and not optional, and stored rows have none`),
    ...derivedRefusals({ columns }, stored),
  ];
}

/** Of columns that are in both, or gone. Contract fields were judged already where their contract was kept. */
function derivedRefusals({ columns }: Pick<EvolveOptions, 'columns'>, stored: readonly Column[]): readonly string[] {
  return stored.flatMap(({ name, type }) => {
    const next = columns.find((column) => column.name === name);
    if (next === undefined) return [`${name} was taken away`];
    return plain(type) === plain(next.type) || growsDecimal(type, next.type)
      ? []
      : [`${name} was ${plain(type)} and is ${plain(next.type)}`];
  });
}

function growsDecimal(before: string, after: string): boolean {
  const [old, next] = [before, after].map((type) => /^DECIMAL\((\d+),(\d+)\)$/.exec(plain(type)));
  if (!old || !next) return false;
  return old[2] === next[2] && Number(old[1]) <= Number(next[1]);
}

const DRAFT = 'silver._migrating';

async function remake(sql: Sql, { contract, table, columns }: EvolveOptions, stored: readonly Column[]): Promise<void> {
  const present = new Set(stored.map(({ name }) => name));
  const select = columns.map(
    ({ name, type }) => `CAST(${present.has(name) ? quoted(name) : 'NULL'} AS ${type}) AS ${quoted(name)}`,
  );
  // The order of rows is the order of commits, by which later look-ups skip most of the table.
  await sql.run(`CREATE TABLE ${DRAFT} AS SELECT ${select.join(', ')} FROM ${table} ORDER BY rowid`);
  await sql.run(`DROP TABLE ${table}`);
  await sql.run(`ALTER TABLE ${DRAFT} RENAME TO ${quoted(contract.name)}`);
  // A view keeps the types that its table had: the caller makes again what is in no fact.
  for (const model of Object.keys(contract.gold)) {
    await sql.run(`DELETE FROM custody.facts WHERE name = ${literal(`gold.${contract.name}_${model}`)}`);
  }
  // Answers have other columns now: no cursor and no cached answer of before is good any more.
  await sql.run("UPDATE custody.facts SET value = replace(uuid()::VARCHAR, '-', '') WHERE name = 'generation'");
}

function textOf(columns: readonly Column[]): string {
  return columns.map(({ name, type }) => `${name} ${plain(type)}`).join(', ');
}

/** DuckDB answers types with its own quoting and spacing. */
function plain(type: string): string {
  return type.replaceAll('"', '').replaceAll(/\s+/g, ' ').replaceAll(', ', ',');
}
