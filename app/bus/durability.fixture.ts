/**
 * A publisher for durability.test.ts to watch from outside: publishes one message after another and writes what came of
 * each, unbuffered, so that the order of system calls tells whether an answer came before its sync.
 * Arguments: folder, messages, `noSync` or nothing.
 */
import { writeSync } from 'node:fs';
import { AppError } from '../errors.ts';
import { makeMessage } from './bus.contract.ts';
import { openLmdbBus } from './lmdb-bus.ts';

const [dir = '', count = '0', mode] = process.argv.slice(2);
const say = (line: string): void => void writeSync(1, `${line}\n`);

const bus = await openLmdbBus({
  dir,
  now: Date.now,
  diskFullPercent: 100,
  mapBytesMax: 64 * 1024 * 1024,
  attemptsMax: 3,
  backoffMinMs: 1,
  backoffMaxMs: 1,
  noSync: mode === 'noSync',
  onFailure: () => say('failed'),
});
say('open');
for (let at = 0; at < Number(count); at += 1) {
  const message = makeMessage({ data: Buffer.alloc(6_000) });
  say(await bus.publish([message]).then(() => `durable ${message.messageId}`, codeOf));
}
say(`check ${await bus.check().then(() => 'ok', codeOf)}`);
await bus.close();
say('closed');

function codeOf(error: unknown): string {
  if (error instanceof AppError) return error.code;
  throw error;
}
