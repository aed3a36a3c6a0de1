/**
 * The warehouse's tables, made from the contracts.
 *
 * One silver table a dataset, one row an event, and the books beside them in the schema `custody`. No PRIMARY KEY,
 * UNIQUE or index anywhere: replaying them from the WAL is where DuckDB loses files, and appending to an index costs
 * more than looking for duplicates in the partitions that a batch touches.
 */
import type { Contract, Field, GoldModel } from '../datasets/contract.ts';
import { type Column, evolveTable, keepContract, keepContracts } from './duckdb-evolution.ts';
import { literal, quoted, type Sql } from './duckdb-session.ts';

/** The contract's columns in silver, in the contract's order, derived ones after. */
export function contractColumns(contract: Contract): readonly Column[] {
  return Object.entries(contract.fields).flatMap(([name, field]) => columnsOf(name, field));
}

export function derivedColumns(contract: Contract): readonly Column[] {
  return Object.entries(contract.derived?.fields ?? {}).flatMap(([name, field]) => columnsOf(name, field));
}

/** Our own columns, in every silver table, after the contract's. */
const OWN_COLUMNS: readonly Column[] = [
  { name: '_event_id', type: 'UUID' },
  { name: '_event_date', type: 'DATE' },
  { name: '_message_id', type: 'UUID' },
  { name: '_index', type: 'INTEGER' },
  { name: '_commit', type: 'BIGINT' },
];

export function silverTable(dataset: string): string {
  return `silver.${quoted(dataset)}`;
}

/** How a body's JSON is read: `STRUCT("a" BIGINT, …)`, with points still as text. */
export function bodyStruct(fields: Readonly<Record<string, Field>>): string {
  const members = Object.entries(fields).map(
    ([name, field]) => `${quoted(name)} ${field.type === 'point' ? 'VARCHAR' : typeOf(field)}`,
  );
  return `STRUCT(${members.join(', ')})`;
}

/** One expression for each silver column of these fields, read from a struct such as `r.body`. */
export function columnExpressions(fields: Readonly<Record<string, Field>>, struct: string): readonly string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const value = `${struct}.${quoted(name)}`;
    if (field.type !== 'point') return [`${value} AS ${quoted(name)}`];
    // `POINT (lon lat)`: the text is canonical, so its two numbers stand between the brackets.
    const part = (index: number): string =>
      `CAST(split_part(substr(${value}, 8, strlen(${value}) - 8), ' ', ${index}) AS DOUBLE)`;
    return [`${part(1)} AS ${quoted(`${name}_lon`)}`, `${part(2)} AS ${quoted(`${name}_lat`)}`];
  });
}

function columnsOf(name: string, field: Field): readonly Column[] {
  if (field.type !== 'point') return [{ name, type: typeOf(field) }];
  return [
    { name: `${name}_lon`, type: 'DOUBLE' },
    { name: `${name}_lat`, type: 'DOUBLE' },
  ];
}

function typeOf(field: Field): string {
  switch (field.type) {
    case 'string':
      return 'VARCHAR';
    case 'integer':
      return 'BIGINT';
    case 'float':
    case 'point':
      return 'DOUBLE';
    case 'decimal':
      return `DECIMAL(${field.precision},${field.scale})`;
    case 'boolean':
      return 'BOOLEAN';
    case 'timestamp':
    case 'wallclock':
      return 'TIMESTAMP';
    case 'date':
      return 'DATE';
    case 'counts':
      return 'STRUCT("name" VARCHAR, count INTEGER)[]';
  }
}

const CUSTODY_TABLES = [
  // `generation`, and the SQL of each gold view as it was made.
  'custody.facts(name VARCHAR, value VARCHAR)',
  'custody.datasets(dataset VARCHAR, contract_version INTEGER, contract VARCHAR)',
  'custody.commits("commit" BIGINT, committed_at_ms BIGINT)',
  // One row a message. The lists hold row indexes: states are sums over rows, not running counters.
  `custody.ledger(message_id UUID, dataset VARCHAR, request_id VARCHAR, api_key_id VARCHAR, contract_version INTEGER,
    sequence BIGINT, late BOOLEAN, "commit" BIGINT, position INTEGER, received_at TIMESTAMP, accepted INTEGER,
    rejected INTEGER, stored INTEGER, quarantined INTEGER, duplicates INTEGER[], erased INTEGER[], expired INTEGER[])`,
  `custody.quarantine(message_id UUID, dataset VARCHAR, request_id VARCHAR, "index" INTEGER, origin VARCHAR,
    code VARCHAR, pointer VARCHAR, expected VARCHAR, got VARCHAR, body VARCHAR, body_bytes INTEGER, body_hash VARCHAR,
    received_at TIMESTAMP, "commit" BIGINT)`,
  `custody.audit(ordinal BIGINT, id UUID, happened_at TIMESTAMP, step VARCHAR, actor VARCHAR, dataset VARCHAR, source VARCHAR,
    target VARCHAR, started_at TIMESTAMP, ended_at TIMESTAMP, "read" BIGINT, stored BIGINT, rejected BIGINT,
    outcome VARCHAR, error VARCHAR)`,
  `custody.bronze_files(hash VARCHAR, kind VARCHAR, dataset VARCHAR, messages BIGINT, "rows" BIGINT, bytes BIGINT,
    first_settle_order BIGINT, last_settle_order BIGINT, last_ordinal BIGINT)`,
] as const;

/** Makes what is missing, brings along what may change in place, refuses the rest. True when anything was made. Throws StartError. */
export async function prepareSchema(sql: Sql, contracts: ReadonlyMap<string, Contract>): Promise<boolean> {
  const present = await tablesPresent(sql);
  let made = false;
  if (!present.has('custody.ledger')) {
    for (const schema of ['silver', 'gold', 'custody']) await sql.run(`CREATE SCHEMA ${schema}`);
    for (const table of CUSTODY_TABLES) await sql.run(`CREATE TABLE ${table}`);
    await sql.run("INSERT INTO custody.facts VALUES ('generation', replace(uuid()::VARCHAR, '-', ''))");
    made = true;
  }
  made = (await keepContracts(sql)) || made;
  for (const contract of contracts.values()) {
    if (present.has(`silver.${contract.name}`)) {
      const evolved = await evolveTable(sql, {
        contract,
        table: silverTable(contract.name),
        columns: silverColumns(contract),
      });
      made ||= evolved;
      continue;
    }
    const columns = silverColumns(contract).map(({ name, type }) => `${quoted(name)} ${type}`);
    await sql.run(`CREATE TABLE ${silverTable(contract.name)}(${columns.join(', ')})`);
    await keepContract(sql, contract);
    made = true;
  }
  return (await prepareViews(sql, contracts)) || made;
}

function silverColumns(contract: Contract): readonly Column[] {
  return [...contractColumns(contract), ...derivedColumns(contract), ...OWN_COLUMNS];
}

async function tablesPresent(sql: Sql): Promise<ReadonlySet<string>> {
  const rows = await sql.rows(
    "SELECT schema_name || '.' || table_name AS name FROM duckdb_tables() WHERE NOT internal",
  );
  return new Set(rows.map(({ name }) => String(name)));
}

/** Views are made again only when their SQL changed, because DDL costs a checkpoint. */
async function prepareViews(sql: Sql, contracts: ReadonlyMap<string, Contract>): Promise<boolean> {
  const facts = await sql.rows("SELECT name, value FROM custody.facts WHERE name LIKE 'gold.%'");
  const made = new Map(facts.map(({ name, value }) => [String(name), String(value)]));
  let changed = false;
  for (const contract of contracts.values()) {
    for (const [model, gold] of Object.entries(contract.gold)) {
      const name = `${contract.name}_${model}`;
      const select = goldSelect(contract, gold);
      if (made.get(`gold.${name}`) === select) continue;
      await sql.run(`CREATE OR REPLACE VIEW gold.${quoted(name)} AS ${select}`);
      await sql.run('DELETE FROM custody.facts WHERE name = $1', [`gold.${name}`]);
      await sql.run('INSERT INTO custody.facts VALUES ($1, $2)', [`gold.${name}`, select]);
      changed = true;
    }
  }
  return changed;
}

/** The names come from a contract that was judged at start; measures are the query grammar's. */
function goldSelect(contract: Contract, model: GoldModel): string {
  const table = silverTable(contract.name);
  switch (model.kind) {
    case 'aggregate': {
      const dimensions = model.by.map(quoted);
      const bucket = model.bucket === undefined ? [] : [bucketExpression(model.bucket)];
      const selected = [...dimensions, ...bucket, ...model.measures.map(measureExpression)];
      const keys = [...dimensions, ...bucket].map((_, index) => index + 1).join(', ');
      return `SELECT ${selected.join(', ')} FROM ${table}${keys === '' ? '' : ` GROUP BY ${keys}`}`;
    }
    case 'fact': {
      const columns = model.columns.map((name) => `s.${quoted(name)}`);
      const element = [`e.c."name" AS ${quoted(model.nameColumn)}`, `e.c.count AS ${quoted(model.countColumn)}`];
      return `SELECT ${[...columns, ...element].join(', ')} FROM ${table} s, unnest(s.${quoted(model.list)}) e(c)`;
    }
    case 'dimension': {
      const field = { ...contract.fields, ...contract.derived?.fields }[model.field];
      const column = quoted(model.column);
      if (field?.type === 'counts') {
        return `SELECT DISTINCT e.c."name" AS ${column} FROM ${table} s, unnest(s.${quoted(model.field)}) e(c) WHERE e.c."name" IS NOT NULL`;
      }
      return `SELECT DISTINCT ${quoted(model.field)} AS ${column} FROM ${table} WHERE ${quoted(model.field)} IS NOT NULL`;
    }
  }
}

/** `departed_at:hour`, in UTC or as the wall clock says. */
function bucketExpression(text: string): string {
  const [field = '', unit = ''] = text.split(':');
  return `date_trunc(${literal(unit)}, ${quoted(field)}) AS ${quoted(`${field}_${unit}`)}`;
}

/** `count`, `avg:delay`. */
function measureExpression(text: string): string {
  const [fn = '', field = ''] = text.split(':');
  if (fn === 'count') return 'count(*) AS "count"';
  const column = quoted(field);
  const name = quoted(`${fn}_${field}`);
  if (/^p\d\d$/.test(fn)) return `quantile_cont(${column}, 0.${fn.slice(1)}) AS ${name}`;
  if (fn === 'distinct') return `count(DISTINCT ${column}) AS ${name}`;
  if (fn === 'stddev') return `stddev_samp(${column}) AS ${name}`;
  return `${fn}(${column}) AS ${name}`;
}
