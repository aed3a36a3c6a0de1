/**
 * Whether the service can do its work: asked by `/readyz` and at each scrape, so that the gauge is true also where
 * nobody probes. Each change is told once.
 *
 * A full disk refuses writes, and reads go on: it is shown, but the service stays ready. Were it not, a load balancer
 * would take the reads away too, which nothing but the disk's own refusal is about.
 */
import type { Telemetry } from '../telemetry/telemetry.ts';
import { asAppError } from './problem.ts';

export interface ReadinessOptions {
  /** Name → resolves when that part can work, rejects with the reason. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
  readonly telemetry: Pick<Telemetry, 'readiness'>;
}

export interface ReadinessLook {
  readonly status: 'ok' | 'starting' | 'stopping' | 'failing';
  readonly checks?: Readonly<Record<string, string>>;
}

const WRITES_REFUSED = 'DISK_FULL';

export class Readiness {
  readonly #options: ReadinessOptions;
  #phase: 'starting' | 'running' | 'stopping' = 'starting';
  #told: boolean | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Until then it is `starting`, whatever the parts say. */
  async begin(): Promise<void> {
    if (this.#phase === 'starting') this.#phase = 'running';
    await this.look();
  }

  /** For good. */
  stop(): void {
    this.#phase = 'stopping';
  }

  get stopping(): boolean {
    return this.#phase === 'stopping';
  }

  async look(): Promise<ReadinessLook> {
    if (this.#phase !== 'running') return { status: this.#phase };
    const results = await Promise.all(
      Object.entries(this.#options.checks).map(async ([name, check]) => {
        try {
          await check();
          return [name, 'ok'] as const;
        } catch (error) {
          return [name, asAppError(error).code] as const;
        }
      }),
    );
    const failing = results.filter(([, result]) => result !== 'ok' && result !== WRITES_REFUSED);
    this.#tell(failing.map(([name, code]) => `${name}: ${code}`).join(', '));
    return { status: failing.length === 0 ? 'ok' : 'failing', checks: Object.fromEntries(results) };
  }

  /** An empty reason is ready. The end of a stop is told by who stops. */
  #tell(reason: string): void {
    const ready = reason === '';
    if (this.stopping || ready === this.#told) return;
    this.#told = ready;
    this.#options.telemetry.readiness(ready ? { ready } : { ready, reason });
  }
}
