/** Four senders over HTTP. What got no answer is kept and sent again to the next process, before anything new. */
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '../seeded-random.ts';
import type { ServiceProcess } from '../service-process.ts';
import type { Account } from './account.ts';
import { makeOperation, type Operation } from './numbered.ts';

const SENDERS = 4;
const ANSWER_TIMEOUT_MS = 10_000;
const UNAVAILABLE = 503;

interface SendOptions {
  readonly service: ServiceProcess;
  readonly seed: number;
  /** Between an answer and the next request; 0 by default, as fast as it goes. */
  readonly paceMs?: number;
}

export class Senders {
  readonly #account: Account;
  readonly #nextNumber: () => number;
  #unanswered: Operation[] = [];

  constructor({ account, nextNumber }: { readonly account: Account; readonly nextNumber: () => number }) {
    this.#account = account;
    this.#nextNumber = nextNumber;
  }

  get unanswered(): number {
    return this.#unanswered.length;
  }

  async sendWhile(alive: () => boolean, { service, seed, paceMs = 0 }: SendOptions): Promise<void> {
    const again = this.#unanswered.splice(0);
    const sender = async (_: unknown, index: number): Promise<void> => {
      const random = seededRandom(seed * SENDERS + index);
      while (alive()) {
        const operation = again.shift() ?? this.#operation(random);
        if (!(await this.#send(service, operation))) this.#unanswered.push(operation);
        if (paceMs > 0) await pause(paceMs);
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, sender));
    this.#unanswered.push(...again);
  }

  /** Throws when one gets no answer: nobody kills this process. */
  async sendRest(service: ServiceProcess): Promise<void> {
    for (const operation of this.#unanswered.splice(0)) {
      if (!(await this.#send(service, operation))) throw new Error(`no answer after the restart:\n${service.output()}`);
    }
  }

  #operation(random: () => number): Operation {
    const operation = makeOperation({ random, nextNumber: this.#nextNumber });
    this.#account.sent(operation.numbers.length);
    return operation;
  }

  /** True for 202; false when the connection broke or 503 said to come again. Anything else fails the test. */
  async #send(service: ServiceProcess, operation: Operation): Promise<boolean> {
    const { dataset, numbers, contentType, body, idempotencyKey } = operation;
    const headers: Record<string, string> = { 'Content-Type': contentType };
    if (idempotencyKey !== undefined) headers['Idempotency-Key'] = idempotencyKey;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${service.url}/v1/datasets/${dataset}/records`, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      // The status line is the promise, whatever becomes of the body behind it.
      if (response.status === 202) this.#account.promise(dataset, numbers);
      text = await response.text();
    } catch {
      return false;
    }
    if (response.status === UNAVAILABLE) return false;
    if (response.status !== 202) throw new Error(`POST answered ${response.status} ${text}:\n${service.output()}`);
    return true;
  }
}
