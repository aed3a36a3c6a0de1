/**
 * Sheds load before it queues.
 *
 * Node works a queue it cannot see: requests wait in sockets while the event loop is busy. How long is measured as
 * the delay of a timer. When even the smallest delay of a window stays above its target, work arrives faster than it
 * leaves; then a growing share of new requests is refused at once, so that those let in keep their latency. The
 * smallest delay, not the mean: a single long turn is no standing queue (the idea of CoDel, RFC 8289).
 */
import { performance } from 'node:perf_hooks';

const SAMPLE_MS = 20;
/** The share refused grows by this a window while the queue stands, and shrinks by half of it when it is gone. */
const SHARE_STEP = 0.1;
const SHARE_MAX = 0.9;
/** A window has at least these: one long turn, which leaves a single sample, is followed by short ones. */
const WINDOW_SAMPLES_MIN = 3;

interface AdmissionOptions {
  readonly targetMs: number;
  readonly windowMs: number;
  readonly random?: () => number;
}

export class Admission {
  readonly #targetMs: number;
  readonly #windowMs: number;
  readonly #random: () => number;
  readonly #timer: NodeJS.Timeout;
  #expectedAt = performance.now() + SAMPLE_MS;
  #windowEndsAt: number;
  #samples = 0;
  #smallestMs = Number.POSITIVE_INFINITY;
  #queueTimeMs = 0;
  #share = 0;

  constructor({ targetMs, windowMs, random = Math.random }: AdmissionOptions) {
    this.#targetMs = targetMs;
    this.#windowMs = windowMs;
    this.#random = random;
    this.#windowEndsAt = performance.now() + windowMs;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  /** False: refuse this request now. */
  admits(): boolean {
    return this.#share === 0 || this.#random() >= this.#share;
  }

  /** The share of requests being refused, 0 … 0.9. */
  get share(): number {
    return this.#share;
  }

  /** The smallest delay of the last whole window. */
  get queueTimeMs(): number {
    return this.#queueTimeMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    const now = performance.now();
    this.observe({ delayMs: Math.max(0, now - this.#expectedAt), nowMs: now });
    this.#expectedAt = now + SAMPLE_MS;
  }

  /** One measured delay; public so that a test can drive it without load. */
  observe({ delayMs, nowMs }: { readonly delayMs: number; readonly nowMs: number }): void {
    this.#smallestMs = Math.min(this.#smallestMs, delayMs);
    this.#samples += 1;
    if (nowMs < this.#windowEndsAt || this.#samples < WINDOW_SAMPLES_MIN) return;
    const standing = this.#smallestMs > this.#targetMs;
    this.#share = standing ? Math.min(SHARE_MAX, this.#share + SHARE_STEP) : Math.max(0, this.#share - SHARE_STEP / 2);
    this.#queueTimeMs = this.#smallestMs;
    this.#smallestMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    this.#windowEndsAt = nowMs + this.#windowMs;
  }
}
