/**
 * One counter as Prometheus sees it: samples, and the rate it computes from them. Written from the definition of
 * `rate()` (https://prometheus.io/docs/prometheus/latest/querying/functions/#rate, promql/functions.go,
 * `extrapolatedRate`), so that the simulator differs from Prometheus by rounding only.
 */
export class CounterSeries {
  /** Seconds, rising. */
  readonly #times: number[] = [];
  readonly #values: number[] = [];
  /** Sum of all that was counted before resets up to each sample: value + correction never falls. */
  readonly #corrections: number[] = [];

  append(seconds: number, value: number): void {
    const last = this.#values.length - 1;
    const before = this.#values[last] ?? 0;
    this.#corrections.push((this.#corrections[last] ?? 0) + (last >= 0 && value < before ? before : 0));
    this.#times.push(seconds);
    this.#values.push(value);
  }

  /** Events a second over (at − window, at]; undefined with fewer than two samples there. */
  rate(atSeconds: number, windowSeconds: number): number | undefined {
    const start = atSeconds - windowSeconds;
    const first = this.#indexAfter(start);
    const last = this.#indexAfter(atSeconds) - 1;
    if (last - first < 1) return undefined;
    const firstTime = this.#at(this.#times, first);
    const lastTime = this.#at(this.#times, last);
    const firstValue = this.#at(this.#values, first);
    const increase =
      this.#at(this.#values, last) -
      firstValue +
      this.#at(this.#corrections, last) -
      this.#at(this.#corrections, first);
    const sampled = lastTime - firstTime;
    const spacing = sampled / (last - first);
    // A counter is not extended below zero, and no edge further than a sample could be missing.
    const limit = spacing * 1.1;
    const toStart = firstTime - start;
    const toEnd = atSeconds - lastTime;
    const zeroAt = increase > 0 && firstValue >= 0 ? sampled * (firstValue / increase) : Number.POSITIVE_INFINITY;
    const before = Math.min(toStart >= limit ? spacing / 2 : toStart, zeroAt);
    const after = toEnd >= limit ? spacing / 2 : toEnd;
    return (increase * (sampled + before + after)) / sampled / windowSeconds;
  }

  /** Index of the first sample later than this. */
  #indexAfter(seconds: number): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(this.#times, middle) <= seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #at(values: readonly number[], index: number): number {
    const value = values[index];
    if (value === undefined) throw new RangeError(`no sample ${index}`);
    return value;
  }
}
