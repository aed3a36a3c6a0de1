/** POST 500-row NDJSON: rows a second from the first byte sent until the last row is stored. */
import { openAppender } from './appender.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { TRACING_OFF } from './post-one.ts';
import { type Result, rateResult } from './results.ts';
import { BULK_ROWS, startSubject, type StoredLoad, type Subject } from './subject.ts';

/** 200,000 rows: several seconds, so that no backlog can hide. */
const REQUESTS_A_ROUND = 400;
const TEN_MILLION = 10_000_000;

export const ndjson: Measurement = {
  name: 'ndjson',
  about: "POST 500-row NDJSON, accepted and stored, sustained; rows/s against DuckDB's appender alone",
  measure: async (options) => {
    const amount = Math.round(REQUESTS_A_ROUND * options.scale);
    const subject = await startSubject(TRACING_OFF);
    const appender = await openAppender();
    const baselines: number[] = [];
    const values: number[] = [];
    try {
      await appender.append(amount * BULK_ROWS);
      await subject.postBulk(amount);
      for (let round = 0; round < options.rounds; round += 1) {
        const alone = await appender.append(amount * BULK_ROWS);
        const own = await storedRate(subject, amount);
        baselines.push(alone);
        values.push(own.rate);
        options.say(`  round ${round + 1}: ${own.said} against ${Math.round(alone)} rows/s`);
      }
      await subject.stop();
    } finally {
      await appender.close();
      await subject.remove();
    }
    const name = 'post 500-row NDJSON, accepted and stored, rows/s';
    return [rateResult({ name, baselines, values, ratioMin: 0.1 })];
  },
};

export const tenMillion: Measurement = {
  name: 'ten-million',
  about: 'the same with 10,000,000 rows stored (seeded by the same route) against a table that began empty; ~10 min',
  asked: true,
  measure: async (options) => measureTenMillion(options, Math.round(TEN_MILLION * options.scale)),
};

async function measureTenMillion(options: MeasurementOptions, rows: number): Promise<readonly Result[]> {
  const amount = Math.round(REQUESTS_A_ROUND * options.scale);
  const full = await startSubject(TRACING_OFF);
  const empty = await startSubject(TRACING_OFF);
  const baselines: number[] = [];
  const values: number[] = [];
  try {
    const { seconds } = await full.seed(rows);
    options.say(`  ${rows} rows seeded in ${Math.round(seconds)} s`);
    await full.postBulk(amount);
    await empty.postBulk(amount);
    for (let round = 0; round < options.rounds; round += 1) {
      const small = await storedRate(empty, amount);
      const large = await storedRate(full, amount);
      baselines.push(small.rate);
      values.push(large.rate);
      options.say(`  round ${round + 1}: ${large.said} against ${small.said}`);
    }
    await full.stop();
    await empty.stop();
  } finally {
    await full.remove();
    await empty.remove();
  }
  const name = `the same with ${rows.toLocaleString('en-US')} rows stored, rows/s`;
  return [rateResult({ name, baselines, values, ratioMin: 0.7 })];
}

/** The time until stored counts, not the time until accepted: what is only accepted is not sustained. */
async function storedRate(subject: Subject, amount: number): Promise<{ readonly rate: number; readonly said: string }> {
  const load: StoredLoad = await subject.postBulk(amount);
  const rate = load.rows / (load.seconds + load.drainMs / 1000);
  const accepted = Math.round(load.rows / load.seconds);
  return {
    rate,
    said: `${Math.round(rate)} rows/s stored (${accepted} accepted, drained in ${Math.round(load.drainMs)} ms)`,
  };
}
