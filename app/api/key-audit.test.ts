/** The audit log tells each key change once, whatever fails or starts again between. */
import assert from 'node:assert/strict';
import { AppError } from '../errors.ts';
import { KeyAudit } from './key-audit.ts';
import { assertProblem, type RunningService, startService } from './service.contract.ts';

describe('the audit of keys', () => {
  let running: RunningService;
  let admin: { readonly id: string; readonly token: string };
  beforeEach(async () => {
    running = await startService();
    admin = await running.makeKey({ scopes: ['admin'] });
  });
  afterEach(() => running.stop());

  const told = async (): Promise<readonly string[]> => {
    const answer = await running.ask('/v1/audit', { key: admin.token });
    assert.equal(answer.status, 200, answer.text);
    const { data } = JSON.parse(answer.text) as { data: { step: string; target: string }[] };
    return data.map(({ step, target }) => `${step} ${target}`).sort();
  };

  it('tells nothing twice: to readers at once, and after the next start', async () => {
    const { id } = await running.makeKey({ scopes: ['read'], datasets: ['flights', 'trips'] });
    const { state } = running.service;
    await state.revokeApiKey(id, { atMs: Date.now(), by: 'test' });
    const expected = [`key.add ${admin.id}`, `key.add ${id}`, `key.revoke ${id}`].sort();
    for (const answer of await Promise.all([told(), told(), told()])) assert.deepEqual(answer, expected);
    const nextStart = new KeyAudit(running.service);
    await Promise.all([nextStart.look(), nextStart.look()]);
    assert.deepEqual(await told(), expected);
  });

  it('tells later what could not be written, and who reads the log meanwhile hears of it', async () => {
    const { warehouse } = running.service;
    const { writeAudit } = warehouse;
    const away = async (): Promise<never> => {
      throw new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'WAREHOUSE_UNAVAILABLE: away. Try again.' });
    };
    Object.assign(warehouse, { writeAudit: away });
    assertProblem(await running.ask('/v1/audit', { key: admin.token }), 'WAREHOUSE_UNAVAILABLE');
    Object.assign(warehouse, { writeAudit });
    assert.deepEqual(await told(), [`key.add ${admin.id}`]);
  });
});
