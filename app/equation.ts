/**
 * The loss equation: accepted = stored + duplicate + quarantined + dead-lettered + expired + erased + in flight.
 *
 * Every term is a sum over rows, taken at one cut: first the bus, then the warehouse for messages up to it. In flight
 * is counted from bus messages that the ledger does not hold, never by subtraction, so that the difference can be
 * something other than zero: positive when rows were lost, negative when some are there twice.
 */
import type { Bus, UnsettledMessage } from './bus/bus.ts';
import type { Warehouse, WarehouseAccounting } from './warehouse/warehouse.ts';

export interface EquationTerms {
  readonly accepted: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly deadLettered: number;
  readonly expired: number;
  readonly erased: number;
  readonly inFlight: number;
  /** Of those in flight: unsettled for longer than OVERDUE_MS. */
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
      unsettled: snapshot.unsettled.filter(notHeld),
      dead,
      overdueBeforeMs: snapshot.takenAtMs - overdueMs,
    });
  }
  return { takenAtMs: snapshot.takenAtMs, datasets: terms, total: sum(Object.values(terms)), deadLetterMessages };
}

const NOTHING: WarehouseAccounting = { lateRows: 0, stored: 0, duplicate: 0, quarantined: 0, expired: 0, erased: 0 };

interface Counted {
  readonly acceptedOnBus: number;
  readonly warehouse: WarehouseAccounting;
  readonly unsettled: readonly UnsettledMessage[];
  readonly dead: readonly UnsettledMessage[];
  readonly overdueBeforeMs: number;
}

function termsOf({ acceptedOnBus, warehouse, unsettled, dead, overdueBeforeMs }: Counted): EquationTerms {
  // A foreign message is accepted when first delivered: in the ledger it counts as late, before that not at all.
  const own = unsettled.filter((one) => !one.foreign);
  const accepted = acceptedOnBus + warehouse.lateRows + rows(dead.filter((one) => one.foreign));
  const { stored, duplicate, quarantined, expired, erased } = warehouse;
  const inFlight = rows(own);
  const deadLettered = rows(dead);
  return {
    accepted,
    stored,
    duplicate,
    quarantined,
    deadLettered,
    expired,
    erased,
    inFlight,
    overdue: rows(own.filter((one) => one.publishedAtMs < overdueBeforeMs)),
    difference: accepted - stored - duplicate - quarantined - deadLettered - expired - erased - inFlight,
  };
}

function rows(messages: readonly UnsettledMessage[]): number {
  return messages.reduce((sumOfRows, one) => sumOfRows + one.rowCount, 0);
}

function sum(all: readonly EquationTerms[]): EquationTerms {
  const add = (name: keyof EquationTerms): number => all.reduce((total, one) => total + one[name], 0);
  return {
    accepted: add('accepted'),
    stored: add('stored'),
    duplicate: add('duplicate'),
    quarantined: add('quarantined'),
    deadLettered: add('deadLettered'),
    expired: add('expired'),
    erased: add('erased'),
    inFlight: add('inFlight'),
    overdue: add('overdue'),
    difference: add('difference'),
  };
}
