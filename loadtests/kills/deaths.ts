import type { Dying } from './dying.ts';

/** How often the service died where, and how often it should have. */
export class Deaths {
  readonly #points = new Map<string, { planned: number; met: number }>();

  add(dying: Dying, met: boolean): void {
    const name = dying.kind === 'point' ? dying.name : 'a moment';
    const one = this.#points.get(name) ?? { planned: 0, met: 0 };
    this.#points.set(name, { planned: one.planned + 1, met: one.met + Number(met) });
  }

  get count(): number {
    return [...this.#points.values()].reduce((sum, { planned }) => sum + planned, 0);
  }

  /** A point that was planned and never reached proves nothing. */
  neverMet(): readonly string[] {
    return [...this.#points].filter(([name, { met }]) => met === 0 && name !== 'a moment').map(([name]) => name);
  }

  table(): string {
    const rows = [...this.#points].map(([name, { planned, met }]) => `| ${name.padEnd(26)} | ${met} of ${planned} |`);
    return ['', `| ${'died at'.padEnd(26)} | deaths |`, `|${'-'.repeat(28)}|--------|`, ...rows, ''].join('\n');
  }
}
