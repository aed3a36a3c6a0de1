/** The two reads of the Warehouse interface on DuckDB: compile, run within the budget, shape. Versions are the caller's. */
import type { Contract, RowValue } from '../datasets/contract.ts';
import { asksPercentile, compileAggregate } from './compile-aggregate.ts';
import type { CompiledQuery } from './compiled-query.ts';
import { compileRecords } from './compile-records.ts';
import { duckdbDialect, duckdbParameter } from './duckdb-dialect.ts';
import type { DuckdbReaders } from './duckdb-readers.ts';
import { silverTable } from './duckdb-schema.ts';
import { type AnsweredRow, answerRow, answerValue } from './duckdb-values.ts';
import type { AggregateQuery, RecordsQuery } from './query.ts';
import { parameterError } from './query-value.ts';
import type { AggregateResult, ReadBudget, RecordsResult } from './warehouse.ts';

interface AggregateOptions {
  readonly query: AggregateQuery;
  readonly contract: Contract;
  readonly budget: ReadBudget;
  /** PERCENTILE_ROWS_MAX. */
  readonly percentileRowsMax: number;
}

export async function readAggregate(
  readers: DuckdbReaders,
  { query, contract, budget, percentileRowsMax }: AggregateOptions,
): Promise<Omit<AggregateResult, 'version'>> {
  const small = asksPercentile(query) && (await isSmall(readers, { query, contract, budget, percentileRowsMax }));
  const compiled = compileAggregate(query, contract, duckdbDialect, {
    percentileRowsMax: small ? 'never reached' : percentileRowsMax,
  });
  const rows = await readRows(readers, { compiled, limit: query.limit, budget });
  return {
    data: rows.slice(0, query.limit).map(({ row }) => row),
    truncated: rows.length > query.limit,
    approximate: rows[0]?.hidden === true,
  };
}

/**
 * Holds the whole table no more rows than a percentile may be exact over? Its count is kept by the database (under a
 * millisecond), while choosing inside the statement costs a quarter more. Rows that come meanwhile go over the cap by a
 * batch at most. A view's count is not kept.
 */
async function isSmall(
  readers: DuckdbReaders,
  { query, contract, budget, percentileRowsMax }: AggregateOptions,
): Promise<boolean> {
  if (query.model !== undefined) return false;
  const sql = `SELECT count(*)::DOUBLE FROM ${silverTable(contract.name)}`;
  const { rows } = await readers.read({
    sql,
    params: [],
    budget: { timeoutMs: budget.timeoutMs, rowsMax: 1 },
    shape: ([count]) => count,
  });
  return Number(rows[0]) <= percentileRowsMax;
}

interface RecordsOptions {
  readonly query: RecordsQuery;
  readonly contract: Contract;
  readonly budget: ReadBudget;
}

export async function readRecords(
  readers: DuckdbReaders,
  { query, contract, budget }: RecordsOptions,
): Promise<Omit<RecordsResult, 'version'>> {
  const compiled = compileRecords(query, contract, duckdbDialect);
  const rows = await readRows(readers, { compiled, limit: query.limit, budget });
  const kept = rows.slice(0, query.limit);
  const data = kept.map(({ row }) => row);
  const lastRow = kept.at(-1);
  if (lastRow === undefined) return { data };
  const last = { value: lastRow.hidden, eventId: String(lastRow.row['_id']) };
  return rows.length > query.limit ? { data, last, next: last } : { data, last };
}

interface RowsOptions {
  readonly compiled: CompiledQuery;
  readonly limit: number;
  readonly budget: ReadBudget;
}

interface ReadRow {
  readonly row: AnsweredRow;
  /** The value of the query's own last column, if it has one. */
  readonly hidden: RowValue;
}

async function readRows(readers: DuckdbReaders, { compiled, limit, budget }: RowsOptions): Promise<readonly ReadRow[]> {
  if (limit > budget.rowsMax) {
    throw parameterError({
      parameter: 'limit',
      got: String(limit),
      expected: `at most ${budget.rowsMax} (READ_ROWS_MAX)`,
    });
  }
  const { columns, hidden } = compiled;
  const { rows } = await readers.read({
    sql: compiled.sql,
    params: compiled.params.map(duckdbParameter),
    // One row more than the limit says that there is more.
    budget: { timeoutMs: budget.timeoutMs, rowsMax: limit + 1 },
    shape: (values): ReadRow => ({
      row: answerRow(columns, values),
      hidden: hidden === undefined ? null : answerValue(hidden, values.at(-1)),
    }),
  });
  return rows;
}
