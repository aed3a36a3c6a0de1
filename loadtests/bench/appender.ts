/** DuckDB's appender alone: one table with the five fields of a flight, 1,000 rows a transaction, a file on the same disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBAppender, type DuckDBConnection, DuckDBInstance, DuckDBTimestampTZValue } from '@duckdb/node-api';
import { type Flight, flightOf } from './records.ts';

const ROWS_A_TRANSACTION = 1_000;

export interface AppenderBaseline {
  /** Rows a second. */
  append(rows: number): Promise<number>;
  close(): Promise<void>;
}

export async function openAppender(): Promise<AppenderBaseline> {
  const dir = await mkdtemp(join(tmpdir(), 'vigia-bench-'));
  const instance = await DuckDBInstance.create(join(dir, 'flights.duckdb'));
  const connection = await instance.connect();
  await connection.run(
    'CREATE TABLE flights (departed_at TIMESTAMPTZ, delay INTEGER, distance INTEGER, origin VARCHAR, destination VARCHAR)',
  );
  let next = 0;
  return {
    append: async (count) => {
      // Made before the clock starts, as the bodies of the other side are.
      const flights = Array.from({ length: count }, (_, index) => flightOf(next + index));
      next += count;
      const startedAt = performance.now();
      for (let at = 0; at < count; at += ROWS_A_TRANSACTION)
        await appendTransaction(connection, flights.slice(at, at + ROWS_A_TRANSACTION));
      return count / ((performance.now() - startedAt) / 1000);
    },
    close: async () => {
      connection.closeSync();
      instance.closeSync();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function appendTransaction(connection: DuckDBConnection, flights: readonly Flight[]): Promise<void> {
  await connection.run('BEGIN');
  const appender = await connection.createAppender('flights');
  for (const flight of flights) appendFlight(appender, flight);
  appender.closeSync();
  await connection.run('COMMIT');
}

function appendFlight(appender: DuckDBAppender, flight: Flight): void {
  appender.appendTimestampTZ(new DuckDBTimestampTZValue(BigInt(flight.departedAtMs) * 1000n));
  appender.appendInteger(flight.delay);
  appender.appendInteger(flight.distance);
  appender.appendVarchar(flight.origin);
  appender.appendVarchar(flight.destination);
  appender.endRow();
}
