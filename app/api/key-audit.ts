/**
 * Key changes in the audit log: who may come in is itself told.
 *
 * The key command writes to the state store, beside a running service or without one, and only the service writes to
 * the warehouse. So the service compares the two: each key added or revoked that the log does not tell of gets its
 * entry, with the time of the change. The log itself is the memory of what was told, so a crash between tells nothing
 * twice, and a warehouse that lost entries gets them again. Never told: the secret, its hash, the label.
 */
import type { ApiKey, State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AuditEntry, Warehouse } from '../warehouse/warehouse.ts';

/** How often a running service looks; whoever reads the log has it looked at first. */
const LOOK_MS = 10_000;
const PAGE_ENTRIES = 1_000;
const STEPS = ['key.add', 'key.revoke'] as const;

type Step = (typeof STEPS)[number];

interface Change {
  readonly step: Step;
  readonly key: ApiKey;
  readonly atMs: number;
  readonly actor: string;
}

interface KeyAuditParts {
  readonly state: Pick<State, 'apiKeys'>;
  readonly warehouse: Pick<Warehouse, 'audit' | 'writeAudit'>;
  readonly telemetry: Pick<Telemetry, 'observationFailed'>;
}

export class KeyAudit {
  readonly #parts: KeyAuditParts;
  /** `key.add 0123456789abcdef`, for each entry of the log; read from there on the first look. */
  #told: Set<string> | undefined;
  /** The look under way and those behind it: one at a time, so that no change is told twice. */
  #looks: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: KeyAuditParts) {
    this.#parts = parts;
  }

  /** Resolves when the log tells of every change made before. Throws AppError when one of the stores cannot answer. */
  look(): Promise<void> {
    const look = this.#looks.then(() => this.#tellChanges());
    // Whoever asked for this look hears of its failure; the next one begins anew.
    this.#looks = look.catch(() => undefined);
    return look;
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      this.look().catch((error: unknown) => this.#parts.telemetry.observationFailed({ error, look: 'key audit' }));
    }, LOOK_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looks;
  }

  async #tellChanges(): Promise<void> {
    const { state, warehouse } = this.#parts;
    const changes = (await state.apiKeys()).flatMap(changesOf);
    if (changes.length === 0) return;
    this.#told ??= await this.#toldSoFar();
    for (const change of changes) {
      const name = nameOf(change.step, change.key.id);
      if (this.#told.has(name)) continue;
      await warehouse.writeAudit(entryOf(change));
      this.#told.add(name);
    }
  }

  async #toldSoFar(): Promise<Set<string>> {
    const told = new Set<string>();
    for (const step of STEPS) {
      for (let after: string | undefined; ; ) {
        const page = { step, limit: PAGE_ENTRIES, ...(after === undefined ? {} : { after }) };
        const entries = await this.#parts.warehouse.audit(page);
        for (const { target } of entries) told.add(nameOf(step, target));
        after = entries.at(-1)?.id;
        if (entries.length < PAGE_ENTRIES) break;
      }
    }
    return told;
  }
}

function changesOf(key: ApiKey): readonly Change[] {
  const { createdAtMs, createdBy = '', revokedAtMs, revokedBy = '' } = key;
  const added = { step: 'key.add', key, atMs: createdAtMs, actor: createdBy } as const;
  if (revokedAtMs === undefined) return [added];
  return [added, { step: 'key.revoke', key, atMs: revokedAtMs, actor: revokedBy }];
}

function nameOf(step: Step, keyId: string): string {
  return `${step} ${keyId}`;
}

function entryOf({ step, key, atMs, actor }: Change): Omit<AuditEntry, 'id'> {
  const at = new Date(atMs).toISOString();
  const { datasets } = key;
  return {
    at,
    step,
    actor,
    dataset: datasets?.length === 1 && datasets[0] !== undefined ? datasets[0] : '*',
    source: `scopes ${key.scopes.join(',')}; datasets ${datasets?.join(',') ?? '*'}`,
    target: key.id,
    startedAt: at,
    endedAt: at,
    read: 0,
    stored: 0,
    rejected: 0,
    outcome: 'ok',
    error: '',
  };
}
