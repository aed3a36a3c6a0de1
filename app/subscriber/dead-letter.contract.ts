/**
 * A subscriber that gets a message nobody can read and a good one, as a process of its own, so that subscriber.test.ts
 * can let the disk fail under it. Argument: the data folder. Its last line is `settled`, or `failed` when the bus could
 * not write what became of them.
 */
import { writeSync } from 'node:fs';
import { foreign, orders, Pipeline } from './pipeline.contract.ts';

const [dir = ''] = process.argv.slice(2);
const failure = Promise.withResolvers<string>();
const pipeline = await Pipeline.open({ dir, onBusFailure: () => failure.resolve('failed') });
await pipeline.bus.publish([foreign({ dataset: 'nothing' }), orders('a')]);
writeSync(1, 'published\n');
const settled = pipeline.consume(1).then(() => 'settled');
writeSync(1, `${await Promise.race([failure.promise, settled])}\n`);
await pipeline.closeStores();
