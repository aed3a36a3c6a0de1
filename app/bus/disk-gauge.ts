/**
 * How full the disk under a folder is, so that writes are refused while there is still room to acknowledge, seal and
 * log: a full disk stops those too, and then nothing can be freed.
 */
import { statfs } from 'node:fs/promises';
import { AppError } from '../errors.ts';

/** A disk fills by at most some hundred MB in this time; one look costs 0.1 ms. */
const LOOK_INTERVAL_MS = 1_000;

export class DiskGauge {
  readonly #dir: string;
  readonly #fullPercent: number;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #look: Promise<number> = Promise.resolve(0);

  constructor(options: { readonly dir: string; readonly fullPercent: number }) {
    this.#dir = options.dir;
    this.#fullPercent = options.fullPercent;
  }

  /** Throws AppError DISK_FULL when the disk is at or above the watermark, BUS_UNAVAILABLE when it cannot be asked. */
  async refuseWhenFull(): Promise<void> {
    const percent = await this.#percent().catch(refuseUnknown);
    if (percent < this.#fullPercent) return;
    throw new AppError({
      code: 'DISK_FULL',
      publicMessage: `DISK_FULL: the disk is ${percent.toFixed(1)} % full, writes stop at ${this.#fullPercent} % (DISK_FULL_PERCENT). Retry when space is free.`,
      retryAfterSeconds: 30,
    });
  }

  /** Used space as `df` counts it: what only root may use is neither used nor free. */
  #percent(): Promise<number> {
    const atMs = performance.now();
    if (atMs - this.#lookedAtMs >= LOOK_INTERVAL_MS) {
      this.#lookedAtMs = atMs;
      this.#look = statfs(this.#dir).then((disk) => {
        const used = disk.blocks - disk.bfree;
        return (100 * used) / Math.max(1, used + disk.bavail);
      });
      // Whoever waits for this look gets its rejection; nobody may be waiting.
      this.#look.catch(() => {
        this.#lookedAtMs = Number.NEGATIVE_INFINITY;
      });
    }
    return this.#look;
  }
}

/** Nothing is written blindly: the look before may be long ago. */
function refuseUnknown(error: unknown): never {
  throw new AppError({
    code: 'BUS_UNAVAILABLE',
    publicMessage:
      'BUS_UNAVAILABLE: the bus cannot tell how full its disk is, and takes no records until it can. Retry with the same Idempotency-Key.',
    detail: `statfs failed: ${String(error)}`,
    cause: error,
  });
}
