/**
 * A CSV row as the JSON record it stands for. A cell that does not read as its field's type stays text, and the schema
 * refuses it as it refuses text in JSON; an empty cell is an absent field.
 */
import type { Contract, Field } from '../datasets/contract.ts';
import { PATTERNS } from './canonical.ts';
import { isWide } from './schema.ts';

const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;
const FLOAT = new RegExp(PATTERNS.float);

type ReadCell = (cell: string) => unknown;

export function compileCells(contract: Contract): (cells: object) => object {
  const readers = new Map(Object.entries(contract.fields).map(([name, field]) => [name, cellReader(field)]));
  return (cells) => {
    const record: Record<string, unknown> = {};
    for (const [name, cell] of Object.entries(cells)) {
      if (cell === '') continue;
      record[name] = readers.get(name)?.(cell) ?? cell;
    }
    return record;
  };
}

function cellReader(field: Field): ReadCell {
  switch (field.type) {
    case 'integer':
      return isWide(field) ? wideInteger : (cell) => (INTEGER.test(cell) ? Number(cell) : cell);
    case 'float':
      return (cell) => (FLOAT.test(cell) ? Number(cell) : cell);
    case 'boolean':
      return (cell) => (cell === 'true' ? true : cell === 'false' ? false : cell);
    case 'string':
    case 'decimal':
    case 'timestamp':
    case 'wallclock':
    case 'date':
    case 'point':
    case 'counts':
      return (cell) => cell;
  }
}

/** Digits beyond 2^53 stay text, which the schema of a wide integer takes. A cell with a fraction is of the wrong type, as in JSON. */
function wideInteger(cell: string): unknown {
  if (INTEGER.test(cell)) return Number.isSafeInteger(Number(cell)) ? Number(cell) : cell;
  return FLOAT.test(cell) ? Number(cell) : cell;
}
