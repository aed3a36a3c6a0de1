import assert from 'node:assert/strict';
import type { DeadLetter } from './bus/bus.ts';
import { contract } from './datasets/articles/contract.ts';
import { type Wanted, withoutWanted } from './dead-letter-removal.ts';

const MESSAGE_ID = 'a'.repeat(32);
const KEY: Wanted = { contract, selector: { kind: 'key', values: { article_id: 'x' } }, key: undefined };
const EVENT: Wanted = {
  contract,
  selector: { kind: 'event', eventId: '1'.repeat(32) },
  key: { values: { article_id: 'x' }, day: '2024-05-04' },
};

describe('what is left of a dead letter', () => {
  const letter = (data: unknown, foreign = false): DeadLetter => ({
    message: {
      messageId: MESSAGE_ID,
      dataset: 'articles',
      requestId: 'r',
      rowCount: 0,
      data: Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)),
      attributes: {},
    },
    sequence: 1,
    code: 'MESSAGE_FAILED',
    reason: '',
    attempts: 1,
    publishedAtMs: 0,
    deadAtMs: 0,
    foreign,
  });
  const row = (index: number, id: string, day = '2024-05-04') => ({
    eventId: String(index).repeat(32),
    index,
    body: { article_id: id, published_at: `${day}T08:30:00Z` },
  });
  const reject = (index: number, body: string) => ({ index, code: 'FIELD_TYPE', body });
  const envelope = (rows: readonly unknown[], rejects: readonly unknown[] = []) => ({
    messageId: MESSAGE_ID,
    rowCount: rows.length,
    rejectCount: rejects.length,
    rows,
    rejects,
  });

  it('is all of it but the rows and the rejected rows that were asked for, and right counts', () => {
    const rows = [row(0, 'x'), row(1, 'x'), row(2, 'y')];
    const rejects = [
      reject(3, '{"article_id":"x","published_at":"2024-05-04"}'),
      reject(4, 'article_id x'),
      reject(5, '{}'),
    ];
    const byKey = withoutWanted(letter(envelope(rows, rejects)), KEY);
    assert.deepEqual([byKey?.rows, byKey?.rejects, byKey?.rest?.rowCount], [2, 1, 1]);
    assert.deepEqual(JSON.parse(String(byKey?.rest?.data)), envelope(rows.slice(2), rejects.slice(1)));
    const byId = withoutWanted(letter(envelope(rows, rejects)), EVENT);
    assert.deepEqual(JSON.parse(String(byId?.rest?.data)), envelope([rows[0], rows[2]], rejects.slice(1)));
  });

  it('is a rejected row of the key on another day, when one record was asked for by its id', () => {
    const rejects = [reject(0, '{"article_id":"x","published_at":"2024-05-05"}'), reject(1, '{"article_id":"x"}')];
    const { rest } = withoutWanted(letter(envelope([], rejects)), EVENT) ?? {};
    assert.deepEqual(JSON.parse(String(rest?.data)), envelope([], rejects.slice(0, 1)));
  });

  it('is nothing when all of it was asked for', () => {
    assert.deepEqual(withoutWanted(letter(envelope([row(0, 'x')])), KEY), { rows: 1, rejects: 0, rest: undefined });
    const selector = { kind: 'row', messageId: MESSAGE_ID, index: 7 } as const;
    const one = withoutWanted(letter(envelope([], [reject(7, 'no JSON')])), { ...KEY, selector });
    assert.deepEqual(one, { rows: 0, rejects: 1, rest: undefined });
  });

  it('is the letter as it is when it holds nothing of it, or nobody understands it', () => {
    for (const data of [envelope([row(0, 'y')]), 'no JSON', '{"rows":5}', 'null']) {
      assert.equal(withoutWanted(letter(data), KEY), undefined);
    }
  });

  it('are the other lines of another publisher, which were never accepted', () => {
    const lines = ['{"article_id":"y"}', '{"article_id":"x"}', 'no JSON', ''].join('\n');
    const less = withoutWanted(letter(lines, true), KEY);
    assert.deepEqual([less?.rows, less?.rejects, less?.rest?.rowCount], [0, 1, 0]);
    assert.equal(String(less?.rest?.data), '{"article_id":"y"}\nno JSON\n');
  });
});
