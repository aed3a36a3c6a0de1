/**
 * The small durable facts that are neither messages nor rows: who may come in, which answers were given.
 *
 * Every method that writes resolves when the write is durable. Other processes (the key command) may write to the
 * same store while the service runs; a read sees their writes at once.
 */

import type { LandingFile, LandingPlan } from './landing-file.ts';

export type Scope = 'read' | 'write' | 'quarantine' | 'load' | 'admin';

export interface ApiKey {
  /** The `<id>` of `vg_<id>_<secret>`. */
  readonly id: string;
  /** SHA-256 of the secret, hex. The secret itself is shown once and kept nowhere. */
  readonly secretHash: string;
  readonly scopes: readonly Scope[];
  /** Absent: all datasets. */
  readonly datasets?: readonly string[];
  readonly label: string;
  readonly createdAtMs: number;
  /** The operator who made it, for the audit log. */
  readonly createdBy?: string;
  readonly revokedAtMs?: number;
  readonly revokedBy?: string;
}

/** What was answered to a request with an Idempotency-Key. Only 2xx and 4xx are kept. */
export interface IdempotentAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export type IdempotencyClaim =
  | { readonly kind: 'claimed'; readonly requestId: string }
  | { readonly kind: 'running' }
  | { readonly kind: 'other_body' }
  | { readonly kind: 'answered'; readonly answer: IdempotentAnswer };

export interface IdempotencyScope {
  readonly apiKeyId: string;
  readonly dataset: string;
  readonly key: string;
}

export interface State {
  readonly name: 'embedded' | 'firestore';

  /** Read on every request: cheap. `undefined` when there is no such key. Revoked keys are returned, marked. */
  apiKey(id: string): Promise<ApiKey | undefined>;
  apiKeys(): Promise<readonly ApiKey[]>;
  /** True once a key was made, also after the last one is revoked. */
  keyEverMade(): Promise<boolean>;
  addApiKey(key: ApiKey): Promise<void>;
  /** False when there is no such key. The first revocation counts. */
  revokeApiKey(id: string, revocation: { readonly atMs: number; readonly by: string }): Promise<boolean>;

  /**
   * Takes the key for this body, or says why not. The request id given by the first claim is returned to every
   * later claim of the same body within the 24 h, so that a retry makes the same row ids. A lease ends with the
   * process that took it.
   */
  claimIdempotency(
    scope: IdempotencyScope,
    claim: { readonly bodyHash: string; readonly requestId: string; readonly nowMs: number },
  ): Promise<IdempotencyClaim>;
  /** Keeps the answer and ends the lease. */
  answerIdempotency(scope: IdempotencyScope, answer: IdempotentAnswer): Promise<void>;
  /** Ends the lease without an answer (503): the same body may try again with the same request id. */
  releaseIdempotency(scope: IdempotencyScope): Promise<void>;

  /** Takes out of the answers kept for these requests what their verdicts quote of a row. Returns how many were kept. */
  forgetVerdicts(requestIds: ReadonlySet<string>): Promise<number>;

  /** The key that signs receipts and cursors: 32 random bytes, made on first use, the same for every process. */
  signingKey(): Promise<Buffer>;

  /** A one-use ticket for the WebSocket; `takeTicket` returns the API key id it was made for, once, before it expires. */
  addTicket(ticketHash: string, ticket: { readonly apiKeyId: string; readonly expiresAtMs: number }): Promise<void>;
  takeTicket(ticketHash: string, nowMs: number): Promise<string | undefined>;

  /** Named facts of the composition (samples loaded, …), JSON values. */
  fact(name: string): Promise<unknown>;
  setFact(name: string, value: unknown): Promise<void>;
  /** Reads, judges and writes as one: no other writer, of any process, comes in between. Returns what was written. */
  changeFact<T>(name: string, change: (before: unknown) => T): Promise<T>;

  /** Files of the landing folder, first seen first. */
  landingFiles(): Promise<readonly LandingFile[]>;
  /** Keeps what is known of a file now; with a plan, that too. The plan of a file that came to its end is forgotten. */
  putLandingFile(file: LandingFile, plan?: LandingPlan): Promise<void>;
  landingPlan(id: string): Promise<LandingPlan | undefined>;
  removeLandingFiles(ids: readonly string[]): Promise<void>;

  /** Deletes what expired (idempotency answers, tickets). Returns how many. */
  sweep(nowMs: number): Promise<number>;
  check(): Promise<void>;
  close(): Promise<void>;
}
