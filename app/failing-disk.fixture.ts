/**
 * Lets the disk fail under an open LMDB environment, in this process: its descriptors are exchanged for others of the
 * same numbers. `/dev/full` refuses each write with ENOSPC; a descriptor that only reads refuses it with EBADF, which
 * like EIO says nothing about what was written.
 */
import { closeSync, openSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';

const DESCRIPTORS = '/proc/self/fd';
/** Numbers are given lowest first; above this something else is wrong. */
const DESCRIPTORS_MAX = 256;

/** Returns how to mend it. `full` can be mended as if space was freed; `broken` cannot. */
export function failDisk(dir: string, failure: 'full' | 'broken'): () => void {
  const file = path.join(realpathSync(dir), 'data.mdb');
  const numbers = readdirSync(DESCRIPTORS).filter((number) => linkOf(number) === file);
  if (numbers.length === 0) throw new Error(`nothing has ${file} open`);
  for (const number of numbers) {
    if (failure === 'full') exchange(Number(number), '/dev/full', 'r+');
    else exchange(Number(number), file, 'r');
  }
  return () => {
    for (const number of numbers) exchange(Number(number), file, 'r+');
  };
}

function linkOf(number: string): string | undefined {
  try {
    return readlinkSync(path.join(DESCRIPTORS, number));
  } catch {
    // The descriptor of the listing itself is closed by now.
    return undefined;
  }
}

function exchange(number: number, file: string, flags: 'r' | 'r+'): void {
  closeSync(number);
  const others: number[] = [];
  for (let opened = openSync(file, flags); opened !== number; opened = openSync(file, flags)) {
    others.push(opened);
    if (others.length > DESCRIPTORS_MAX) throw new Error(`descriptor ${number} was taken by someone else`);
  }
  for (const other of others) closeSync(other);
}
