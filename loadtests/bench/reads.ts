/** Three named queries over 1,000,000 rows: uncached against SQL, cached and 304 against a bare Express. */
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { sendLoad } from './load.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { TRACING_OFF } from './post-one.ts';
import { type NamedQuery, QUERIES } from './queries.ts';
import { median, mostResult, quantile, rateResult, type Result } from './results.ts';
import { type SideProcess, startSide } from './side-process.ts';
import { CONNECTIONS, type Subject, startSubject } from './subject.ts';

/** In the data folder. */
const DATABASE = 'warehouse.duckdb';
const ROWS = 1_000_000;
const UNCACHED_A_ROUND = 40;
const CACHED_A_ROUND = 12_000;
const OVER_SQL_MS_MAX = 10;
const CACHED_RATIO_MIN = 0.4;
const NOT_MODIFIED_RATIO_MIN = 0.6;
/** What the service gives its own database: WAREHOUSE_THREADS, WAREHOUSE_MEMORY_MIB. */
const SQL_SETTINGS = { threads: '1', memory_limit: '1024MiB' } as const;

export const reads: Measurement = {
  name: 'reads',
  about: 'three named queries over 1,000,000 rows: uncached (p95, ms), cached and 304 (requests/s)',
  measure: async (options) => {
    const rows = Math.round(ROWS * options.scale);
    const subject = await startSubject(TRACING_OFF);
    const express = await startSide('express');
    const dir = await mkdtemp(join(tmpdir(), 'vigia-bench-'));
    try {
      const { seconds } = await subject.seed(rows);
      options.say(`  ${rows} rows seeded in ${seconds.toFixed(1)} s`);
      const sql = await openCopy(subject, dir);
      const results: Result[] = [];
      for (const query of QUERIES) results.push(...(await measureQuery(options, { query, subject, express, sql })));
      sql.closeSync();
      await subject.stop();
      return results;
    } finally {
      await express.close();
      await subject.remove();
      await rm(dir, { recursive: true, force: true });
    }
  },
};

/** The very file the service wrote, copied while nothing writes: one file cannot be open in two processes. */
async function openCopy(subject: Subject, dir: string): Promise<DuckDBConnection> {
  for (const file of [DATABASE, `${DATABASE}.wal`]) {
    if (existsSync(join(subject.dataDir, file))) await copyFile(join(subject.dataDir, file), join(dir, file));
  }
  const instance = await DuckDBInstance.create(join(dir, DATABASE), SQL_SETTINGS);
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  return connection;
}

interface Sides {
  readonly query: NamedQuery;
  readonly subject: Subject;
  readonly express: SideProcess;
  readonly sql: DuckDBConnection;
}

async function measureQuery(options: MeasurementOptions, sides: Sides): Promise<readonly Result[]> {
  const { name } = sides.query;
  options.say(`  ${name}`);
  const uncached = await measureUncached(options, sides);
  return [uncached, ...(await measureCached(options, sides))];
}

/** One question at a time, each with another limit: equal in work, never asked before. */
async function measureUncached(options: MeasurementOptions, { query, subject, sql }: Sides): Promise<Result> {
  const amount = Math.max(10, Math.round(UNCACHED_A_ROUND * options.scale));
  const own: number[] = [];
  const alone: number[] = [];
  let limit = 1_000;
  const ask = async (): Promise<number> => {
    limit += 1;
    const startedAt = performance.now();
    await answer(subject, `${query.query}&limit=${limit}`);
    return performance.now() - startedAt;
  };
  const askSql = async (): Promise<number> => {
    const startedAt = performance.now();
    await sql.runAndReadAll(`${query.sql} LIMIT ${limit}`);
    return performance.now() - startedAt;
  };
  for (let round = -1; round < options.rounds; round += 1) {
    const times = { own: [] as number[], alone: [] as number[] };
    for (let count = 0; count < amount; count += 1) {
      times.own.push(await ask());
      times.alone.push(await askSql());
    }
    // The first round warms both.
    if (round < 0) continue;
    own.push(quantile(times.own, 0.95));
    alone.push(quantile(times.alone, 0.95));
  }
  const baseline = median(alone);
  options.say(`    uncached p95 ${median(own).toFixed(1)} ms against ${baseline.toFixed(1)} ms`);
  return mostResult({
    name: `${query.name}, uncached, p95, ms`,
    baseline,
    value: median(own),
    most: baseline + OVER_SQL_MS_MAX,
  });
}

async function measureCached(options: MeasurementOptions, sides: Sides): Promise<readonly Result[]> {
  const { query, subject, express } = sides;
  const amount = Math.round(CACHED_A_ROUND * options.scale);
  const path = `/v1/datasets/flights/aggregates?${query.query}`;
  const { etag, text } = await answer(subject, query.query);
  // The bare side has the same answer in memory.
  await fetch(`${express.url}/answer`, { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: text });
  const rates = { bare: [] as number[], cached: [] as number[], notModified: [] as number[] };
  for (let round = -1; round < options.rounds; round += 1) {
    const load = { connections: CONNECTIONS, amount };
    const bare = await sendLoad({
      ...load,
      url: express.url,
      requests: [{ method: 'GET', path: '/answer' }],
      status: 200,
    });
    const cached = await sendLoad({ ...load, url: subject.url, requests: [{ method: 'GET', path }], status: 200 });
    const headers = { 'If-None-Match': etag };
    const notModified = await sendLoad({
      ...load,
      url: subject.url,
      requests: [{ method: 'GET', path, headers }],
      status: 304,
    });
    if (round < 0) continue;
    rates.bare.push(bare.perSecond);
    rates.cached.push(cached.perSecond);
    rates.notModified.push(notModified.perSecond);
    options.say(
      `    round ${round + 1}: cached ${Math.round(cached.perSecond)}/s, 304 ${Math.round(notModified.perSecond)}/s, ` +
        `bare ${Math.round(bare.perSecond)}/s (${text.length} bytes)`,
    );
  }
  const baselines = rates.bare;
  return [
    rateResult({
      name: `${query.name}, cached, requests/s`,
      baselines,
      values: rates.cached,
      ratioMin: CACHED_RATIO_MIN,
    }),
    rateResult({
      name: `${query.name}, 304, requests/s`,
      baselines,
      values: rates.notModified,
      ratioMin: NOT_MODIFIED_RATIO_MIN,
    }),
  ];
}

async function answer(subject: Subject, query: string): Promise<{ readonly etag: string; readonly text: string }> {
  const response = await fetch(`${subject.url}/v1/datasets/flights/aggregates?${query}`);
  const text = await response.text();
  const etag = response.headers.get('etag');
  if (response.status !== 200 || etag === null) throw new Error(`GET answered ${response.status}: ${text}`);
  return { etag, text };
}
