/** A contract's rules over two fields of one row, compiled once. A rule whose side is absent holds, as NULL does in SQL. */
import type { Check, Contract, Field, Row, RowValue } from '../datasets/contract.ts';
import { compareDecimals } from './canonical.ts';
import { gotText, MASK, pointerTo, type Verdict } from './verdict.ts';

type CompiledCheck = (row: Row) => Verdict | undefined;

/** Undefined when the contract has no checks. The function returns the first that fails. */
export function compileChecks(contract: Contract): CompiledCheck | undefined {
  const checks = (contract.checks ?? []).map((check) => compileCheck(contract, check));
  if (checks.length === 0) return undefined;
  return (row) => {
    for (const check of checks) {
      const verdict = check(row);
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  };
}

function compileCheck(contract: Contract, check: Check): CompiledCheck {
  const left = contract.fields[check.left];
  const right = contract.fields[check.right];
  if (left === undefined || right === undefined) {
    throw new Error(`check ${check.name} of ${contract.name} compares a field that the contract does not have`);
  }
  const compare = comparison(left);
  const masked = left.personal === true || right.personal === true;
  return (row) => {
    const [one, other] = [row[check.left], row[check.right]];
    if (one === undefined || one === null || other === undefined || other === null) return undefined;
    if (holds(check.op, compare(one, other))) return undefined;
    return {
      code: 'CHECK_FAILED',
      pointer: pointerTo(check.left),
      expected: `${check.left} ${OPERATOR_WORDS[check.op]} ${check.right} (${check.name}: ${check.description})`,
      got: masked ? MASK : gotText(`${gotText(one)} and ${gotText(other)}`),
    };
  };
}

const OPERATOR_WORDS: Readonly<Record<Check['op'], string>> = { lt: '<', lte: '<=', ne: '<>', eq: '=' };

function holds(op: Check['op'], order: number): boolean {
  switch (op) {
    case 'lt':
      return order < 0;
    case 'lte':
      return order <= 0;
    case 'ne':
      return order !== 0;
    case 'eq':
      return order === 0;
  }
}

function comparison(field: Field): (left: RowValue, right: RowValue) => number {
  switch (field.type) {
    case 'integer':
      return (left, right) =>
        typeof left === typeof right && typeof left === 'number'
          ? Number(left) - Number(right)
          : compareWide(left, right);
    case 'float':
    case 'boolean':
      return (left, right) => Number(left) - Number(right);
    case 'decimal':
      return (left, right) => compareDecimals(String(left), String(right));
    case 'string':
    case 'timestamp':
    case 'wallclock':
    case 'date':
    case 'point':
    case 'counts':
      return (left, right) => (left === right ? 0 : compareText(String(left), String(right)));
  }
}

/** By code points, as both warehouses order text (by bytes of UTF-8); canonical instants order so too. */
function compareText(left: string, right: string): number {
  let at = 0;
  while (at < left.length && at < right.length && left.charCodeAt(at) === right.charCodeAt(at)) at += 1;
  // A low surrogate that differs belongs to a pair whose high one is equal: its own order is the pair's.
  return rank(left, at) - rank(right, at);
}

/** A code unit, with surrogates above all others, as the code points that they spell are; -1 past the end. */
function rank(text: string, at: number): number {
  const unit = at < text.length ? text.charCodeAt(at) : -1;
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x1_0000 : unit;
}

function compareWide(left: RowValue, right: RowValue): number {
  const difference = BigInt(String(left)) - BigInt(String(right));
  return difference < 0n ? -1 : Number(difference > 0n);
}
