/**
 * The columns that a query may name, made from the contract, with what can be done with each type. There are no other
 * names: whatever is not in here never reaches a compiler.
 */
import { type Contract, type Field, modelFields } from '../datasets/contract.ts';
import { MEASURES, type MeasureFunction, OPERATORS, type Operator } from './query.ts';
import { parameterError, type ScalarKind } from './query-value.ts';

/** A column that a query may name. */
export interface QueryField {
  readonly name: string;
  readonly kind: ScalarKind;
  readonly field: Field;
  readonly optional: boolean;
}

const COMPARABLE = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'null', 'notnull'] as const;
export const OPERATORS_OF: Readonly<Record<ScalarKind, readonly Operator[]>> = {
  string: OPERATORS,
  integer: COMPARABLE,
  float: COMPARABLE,
  decimal: COMPARABLE,
  boolean: ['eq', 'ne', 'null', 'notnull'],
  timestamp: COMPARABLE,
  wallclock: COMPARABLE,
  date: COMPARABLE,
};

export const MEASURES_OF: Readonly<Record<ScalarKind, readonly MeasureFunction[]>> = {
  string: ['min', 'max', 'distinct'],
  integer: MEASURES.filter((fn) => fn !== 'count'),
  float: MEASURES.filter((fn) => fn !== 'count'),
  decimal: MEASURES.filter((fn) => fn !== 'count'),
  boolean: ['distinct'],
  timestamp: ['min', 'max', 'distinct'],
  wallclock: ['min', 'max', 'distinct'],
  date: ['min', 'max', 'distinct'],
};

/** Points become their two floats; counts cannot be asked for. */
export function queryFields(contract: Contract, model?: string): ReadonlyMap<string, QueryField> {
  const declared =
    model === undefined ? { ...contract.fields, ...contract.derived?.fields } : modelFields(contract, model);
  if (declared === undefined) {
    throw parameterError({
      parameter: 'model',
      got: model ?? '',
      expected: `${contract.name} has ${listOf(Object.keys(contract.gold))}`,
    });
  }
  const columns = Object.entries(declared).flatMap(([name, field]) => {
    // A derivation may leave out any of its fields, and so may a view.
    const optional = field.optional === true || contract.fields[name] === undefined;
    return columnsOf(name, field, optional);
  });
  return new Map(columns.map((one) => [one.name, one]));
}

/** Throws AppError PARAMETER_INVALID that names the parameter and the fields there are. */
export function fieldOf(fields: ReadonlyMap<string, QueryField>, name: string, parameter: string): QueryField {
  const field = fields.get(name);
  if (field === undefined)
    throw parameterError({
      parameter,
      got: name,
      expected: `there is no such field; there are ${listOf([...fields.keys()])}`,
    });
  return field;
}

export function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}

function columnsOf(name: string, field: Field, optional: boolean): readonly QueryField[] {
  switch (field.type) {
    case 'counts':
      return [];
    case 'point':
      return (['lon', 'lat'] as const).map((axis) => ({
        name: `${name}_${axis}`,
        kind: 'float' as const,
        field: { type: 'float', description: field.description, example: 0, unit: 'degrees', min: -180, max: 180 },
        optional,
      }));
    default:
      return [{ name, kind: field.type, field, optional }];
  }
}
