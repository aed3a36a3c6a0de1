/** The objectives that are shipped and the route that answers them are written apart: this keeps them in step. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type RunningService, startService } from './service.contract.ts';

interface Answer {
  readonly state: string;
  readonly reason: string | null;
  readonly objectives: readonly {
    readonly name: string;
    readonly target: number;
    readonly windowDays: number;
    readonly budgetLeft: number | null;
  }[];
}

describe('the shipped objectives', () => {
  let running: RunningService;
  const asked: string[] = [];
  const prometheus = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://localhost').searchParams.get('query') ?? '';
    asked.push(query);
    // Overspent by a quarter: such a budget is below 0, and said so.
    response.end(
      JSON.stringify({ data: { result: [{ value: [0, query.includes('api-latency') ? '-0.25' : '0.5'] }] } }),
    );
  });
  before(async () => {
    prometheus.listen(0, '127.0.0.1');
    await once(prometheus, 'listening');
    const url = `http://127.0.0.1:${(prometheus.address() as AddressInfo).port}`;
    // OBJECTIVES_FILE stays what it is by default.
    running = await startService({ PROMETHEUS_URL: url });
  });
  after(async () => {
    await running.stop();
    prometheus.close();
  });

  it('are answered with their promise and the budget left, each by the query it brings', async () => {
    const file = JSON.parse(await readFile('slo/generated/objectives.json', 'utf8')) as {
      readonly objectives: readonly { name: string; target: number; windowDays: number; budgetLeftQuery: string }[];
    };
    const answer = JSON.parse((await running.ask('/v1/slo')).text) as Answer;
    assert.deepEqual([answer.state, answer.reason], ['known', null]);
    assert.deepEqual(
      answer.objectives,
      file.objectives.map(({ name, target, windowDays }) => ({
        name,
        target,
        windowDays,
        budgetLeft: name === 'api-latency' ? -0.25 : 0.5,
      })),
    );
    assert.deepEqual(asked.sort(), file.objectives.map(({ budgetLeftQuery }) => budgetLeftQuery).sort());
    assert.ok(answer.objectives.length >= 7, 'an empty file is in step with nothing');
  });
});
