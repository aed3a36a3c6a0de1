/** Random numbers that are the same on every machine for one seed: generated samples can be compared with their files. */

export interface SeededRandom {
  /** 0 <= n < 1. */
  readonly fraction: () => number;
  /** Inclusive bounds. */
  readonly integer: (min: number, max: number) => number;
  readonly pick: <T>(list: readonly T[]) => T;
}

/** mulberry32: 32 bits of state, enough for a sample file, not for anything secret. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (min: number, max: number): number => min + Math.floor(fraction() * (max - min + 1));
  return { fraction, integer, pick: (list) => list[integer(0, list.length - 1)] as (typeof list)[number] };
}
