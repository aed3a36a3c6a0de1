/** POST one record, durable, against a bare Express that parses and answers the same record. */
import { type LoadRequest, sendLoad } from './load.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { flightText } from './records.ts';
import { type Result, rateResult } from './results.ts';
import { type SideProcess, startSide } from './side-process.ts';
import { CONNECTIONS, startSubject } from './subject.ts';

/** About two seconds a side. */
const REQUESTS_A_ROUND = 15_000;

export const postOne: Measurement = {
  name: 'post-one',
  about: 'POST one record, durable, OpenTelemetry off; requests/s against a bare Express JSON echo',
  measure: (options) =>
    measure(options, { name: 'post one record, telemetry off, requests/s', ratioMin: 0.4, env: () => TRACING_OFF }),
};

/** Metrics and logs stay on: they cannot be switched off. */
export const TRACING_OFF = { OTEL_SDK_DISABLED: 'true' } as const;

export const postOneTraced: Measurement = {
  name: 'post-one-traced',
  about: 'the same with OpenTelemetry on, every request sampled and exported to a sink that answers 200',
  measure: async (options) => {
    const sink = await startSide('sink');
    try {
      const env = (): Readonly<Record<string, string>> => ({
        OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
        OTEL_TRACES_SAMPLER: 'always_on',
      });
      const results = await measure(options, {
        name: 'post one record, telemetry on, requests/s',
        ratioMin: 0.22,
        env,
      });
      const { requests, bytes } = await sink.received();
      if (requests === 0) throw new Error('no span reached the sink');
      options.say(`  the sink took ${requests} exports, ${bytes} bytes`);
      return results;
    } finally {
      await sink.close();
    }
  },
};

interface Side {
  readonly name: string;
  readonly ratioMin: number;
  readonly env: () => Readonly<Record<string, string>>;
}

async function measure(options: MeasurementOptions, { name, ratioMin, env }: Side): Promise<readonly Result[]> {
  const amount = Math.round(REQUESTS_A_ROUND * options.scale);
  const subject = await startSubject(env());
  const express = await startSide('express');
  const baselines: number[] = [];
  const values: number[] = [];
  try {
    // Both warm: compiled code, open connections, a file with rows in it.
    await echo(express, amount);
    await subject.postOne(amount);
    for (let round = 0; round < options.rounds; round += 1) {
      const bare = await echo(express, amount);
      const own = await subject.postOne(amount);
      baselines.push(bare.perSecond);
      values.push(own.perSecond);
      options.say(
        `  round ${round + 1}: ${Math.round(own.perSecond)}/s against ${Math.round(bare.perSecond)}/s, ` +
          `drained in ${Math.round(own.drainMs)} ms, generator ${own.generatorCores.toFixed(2)} and ${bare.generatorCores.toFixed(2)} cores`,
      );
    }
    await subject.stop();
  } finally {
    await express.close();
    await subject.remove();
  }
  return [rateResult({ name, baselines, values, ratioMin })];
}

function echo(express: SideProcess, amount: number): ReturnType<typeof sendLoad> {
  const requests = Array.from(
    { length: amount },
    (_, number): LoadRequest => ({
      method: 'POST',
      path: '/echo',
      headers: { 'Content-Type': 'application/json' },
      body: flightText(number),
    }),
  );
  return sendLoad({ url: express.url, connections: CONNECTIONS, amount, requests, status: 200 });
}
