/**
 * How many body bytes may be in memory at once, over all requests; beyond it a request is refused, not queued.
 *
 * Whoever holds a body's bytes has taken them: a small body while it is gathered, then the decoder, until its rows are
 * published. Not counted is what Node buffers of a socket before anybody reads it (64 KiB a connection).
 */
import { AppError } from '../errors.ts';

export class ByteBudget {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Throws BODY_BYTES_EXHAUSTED; then nothing was taken. */
  take(bytes: number): void {
    if (this.#used + bytes > this.#max) {
      throw new AppError({
        code: 'BODY_BYTES_EXHAUSTED',
        publicMessage: `BODY_BYTES_EXHAUSTED: bodies being received hold ${this.#used} of ${this.#max} bytes (BODY_BYTES_IN_FLIGHT_MAX). Try again in a second, or send smaller bodies.`,
      });
    }
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }

  get used(): number {
    return this.#used;
  }
}

/** What one request holds of the budget. */
export class HeldBytes {
  readonly #budget: ByteBudget;
  #bytes = 0;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  /** Throws BODY_BYTES_EXHAUSTED; what was taken before stays held. */
  take(bytes: number): void {
    this.#budget.take(bytes);
    this.#bytes += bytes;
  }

  /** More than once is as once. */
  release(): void {
    this.#budget.give(this.#bytes);
    this.#bytes = 0;
  }
}
