/**
 * The loss equation: accepted = stored + duplicate + quarantined + dead-lettered + expired + erased + in flight.
 *
 * Every term is a sum over rows, taken at one cut: first the bus, then the warehouse for messages up to it. In flight
 * is counted from bus messages that the ledger does not hold, never by subtraction, so that the difference can be
 * something other than zero: positive when rows were lost, negative when some are there twice.
 */
import type { Bus, UnsettledMessage } from './bus/bus.ts';
import { EQUATION_TERMS, type EquationTerm } from './telemetry/catalogue.ts';
import type { Warehouse, WarehouseAccounting } from './warehouse/warehouse.ts';

export interface EquationTerms extends Readonly<Record<EquationTerm, number>> {
  /** Of those in flight. */
  readonly overdue: number;
  /** accepted − all states; anything but 0 is a page. */
  readonly difference: number;
}

export interface Equation {
  readonly takenAtMs: number;
  readonly datasets: Readonly<Record<string, EquationTerms>>;
  readonly total: EquationTerms;
  /** Messages behind `deadLettered`, by dataset. */
  readonly deadLetterMessages: Readonly<Record<string, number>>;
}

/**
 * The one meaning of `overdue`, in the equation, its metric and a receipt: an accepted row that is in no other state
 * for longer than the redelivery deadline (OVERDUE_MS) after its acceptance. Until then it is in flight.
 */
export function isOverdue(row: {
  readonly acceptedAtMs: number;
  readonly nowMs: number;
  readonly overdueMs: number;
}): boolean {
  return row.nowMs - row.acceptedAtMs > row.overdueMs;
}

interface EquationOptions {
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly datasets: readonly string[];
  readonly overdueMs: number;
}

export async function takeEquation({ bus, warehouse, datasets, overdueMs }: EquationOptions): Promise<Equation> {
  const snapshot = await bus.snapshot();
  const ids = [...snapshot.unsettled, ...snapshot.deadLetters].map((one) => one.messageId);
  const ledger = await warehouse.accounting(snapshot.cut, ids);
  const names = new Set([...datasets, ...Object.keys(snapshot.acceptedRows), ...Object.keys(ledger.datasets)]);
  const terms: Record<string, EquationTerms> = {};
  const deadLetterMessages: Record<string, number> = {};
  for (const dataset of names) {
    const notHeld = (one: UnsettledMessage): boolean => one.dataset === dataset && !ledger.held.has(one.messageId);
    const dead = snapshot.deadLetters.filter(notHeld);
    deadLetterMessages[dataset] = dead.length;
    terms[dataset] = termsOf({
      acceptedOnBus: snapshot.acceptedRows[dataset] ?? 0,
      warehouse: ledger.datasets[dataset] ?? NOTHING,
      removed: {
        erased: snapshot.removedRows.erased[dataset] ?? 0,
        expired: snapshot.removedRows.expired[dataset] ?? 0,
      },
      unsettled: snapshot.unsettled.filter(notHeld),
      dead,
      isOverdue: ({ publishedAtMs }) =>
        isOverdue({ acceptedAtMs: publishedAtMs, nowMs: snapshot.takenAtMs, overdueMs }),
    });
  }
  return { takenAtMs: snapshot.takenAtMs, datasets: terms, total: sum(Object.values(terms)), deadLetterMessages };
}

/** `accepted 5 = stored 4 + in flight 1, difference 0`; terms that are 0 are left out. */
export function equationText(terms: EquationTerms): string {
  const parts = TERMS.filter((term) => term !== 'accepted' && terms[term] !== 0).map(
    (term) => `${TERM_TEXTS[term]} ${terms[term]}`,
  );
  return `accepted ${terms.accepted}${parts.length === 0 ? '' : ` = ${parts.join(' + ')}`}, difference ${terms.difference}`;
}

const TERM_TEXTS: Readonly<Record<EquationTerm, string>> = {
  ...EQUATION_TERMS,
  deadLettered: 'dead-lettered',
  inFlight: 'in flight',
};
const TERMS = Object.keys(EQUATION_TERMS) as EquationTerm[];
const NOTHING: WarehouseAccounting = { lateRows: 0, stored: 0, duplicate: 0, quarantined: 0, expired: 0, erased: 0 };

interface Counted {
  readonly acceptedOnBus: number;
  readonly warehouse: WarehouseAccounting;
  /** Out of dead letters. */
  readonly removed: Pick<WarehouseAccounting, 'erased' | 'expired'>;
  readonly unsettled: readonly UnsettledMessage[];
  readonly dead: readonly UnsettledMessage[];
  readonly isOverdue: (message: UnsettledMessage) => boolean;
}

function termsOf({ acceptedOnBus, warehouse, removed, unsettled, dead, isOverdue }: Counted): EquationTerms {
  // A foreign message is accepted when first delivered: in the ledger it counts as late, before that not at all.
  const own = unsettled.filter((one) => !one.foreign);
  const { stored, duplicate, quarantined } = warehouse;
  const expired = warehouse.expired + removed.expired;
  const erased = warehouse.erased + removed.erased;
  const accepted = acceptedOnBus + warehouse.lateRows + rows(dead.filter((one) => one.foreign));
  const deadLettered = rows(dead);
  const inFlight = rows(own);
  const terms = { accepted, stored, duplicate, quarantined, deadLettered, expired, erased, inFlight };
  const states = TERMS.filter((term) => term !== 'accepted').reduce(
    (sumOfStates, term) => sumOfStates + terms[term],
    0,
  );
  return { ...terms, overdue: rows(own.filter(isOverdue)), difference: terms.accepted - states };
}

function rows(messages: readonly UnsettledMessage[]): number {
  return messages.reduce((sumOfRows, one) => sumOfRows + one.rowCount, 0);
}

function sum(all: readonly EquationTerms[]): EquationTerms {
  const names = [...TERMS, 'overdue', 'difference'] as const;
  const sums = names.map((name) => [name, all.reduce((total, one) => total + one[name], 0)] as const);
  return Object.fromEntries(sums) as Record<(typeof names)[number], number>;
}
