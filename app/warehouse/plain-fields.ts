/**
 * A contract's field as SQL: when a text is surely valid, and what it then is.
 *
 * Sound, never complete: what `proof` takes, the validator takes too, and makes the same canonical text of. What it does
 * not take may still be valid, only written in an unusual way; the validator then says so. So every doubt is a no here.
 */
import type {
  Contract,
  DecimalField,
  Field,
  FloatField,
  IntegerField,
  PointField,
  StringField,
} from '../datasets/contract.ts';
import { literal, quoted } from './duckdb-session.ts';

/** Where a field's text stands in a row of the reader. */
export interface Cell {
  /** Column of its text; NULL when the field has no value. */
  readonly text: string;
  /** Beginning of the names of columns that may be made of it. */
  readonly prefix: string;
  /** Column: whether JSON had it in quotes. Absent for CSV, which does not say. */
  readonly isQuoted?: string;
}

export interface PlainField {
  /** As read. NULL when the field has no value; then what follows means nothing. */
  readonly text: string;
  /** Columns that the rest is made of, `<expression> AS <name>`: made once, because DuckDB would make them for each use. */
  readonly made: readonly string[];
  /** SQL that is true of a valid text; false or NULL otherwise. */
  readonly proof: string;
  /** SQL of the canonical value. */
  readonly value: string;
  /** The same as JSON text. */
  readonly json: string;
  /** Silver columns: `<expression> AS <name>`. */
  readonly columns: readonly string[];
}

/** Up to here integers are the same as numbers and as digits: 10^15 < 2^53. */
const SAFE_DIGITS = 15;
/** DuckDB writes doubles between these as JavaScript does, in the fewest digits that read back and without exponent. */
const FLOAT_LEAST = '1e-4';
const FLOAT_MOST = '1e15';
const NUMBER = '-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?';
/** JSON writes these as they are, and a UTF-16 code unit is a character. */
const TEXT = '[^\\x00-\\x1f"\\\\\\x{10000}-\\x{10FFFF}]*';
/** Where a contract has a pattern: JavaScript and RE2 may differ on what else is a space or a letter. */
const ASCII_TEXT = '[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]*';
const DAY = '(?:[1-9][0-9]{3}|[0-9][1-9][0-9]{2}|[0-9]{2}[1-9][0-9]|[0-9]{3}[1-9])-[0-9]{2}-[0-9]{2}';
const CLOCK = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]';
const STRING_LENGTH_MIN = 1;
const STRING_LENGTH_MAX = 255;

type Proved = Omit<PlainField, 'text'>;

export function plainField(name: string, field: Field, cell: Cell): PlainField {
  return { text: cell.text, ...proved(name, field, cell) };
}

function proved(name: string, field: Field, cell: Cell): Proved {
  switch (field.type) {
    case 'string':
      return plainString(name, field, cell);
    case 'integer':
      return plainInteger(name, field, cell);
    case 'float':
      return plainFloat(name, field, cell);
    case 'decimal':
      return plainDecimal(name, field, cell);
    case 'boolean':
      return plainBoolean(name, cell);
    case 'timestamp':
    case 'wallclock':
    case 'date':
      return plainTime(name, field.type, cell);
    case 'point':
      return plainPoint(name, field, cell);
    case 'counts':
      throw new Error(`${name}: counts are derived, never sent`);
  }
}

function plainString(name: string, field: StringField, cell: Cell): Proved {
  const { text } = cell;
  const conditions = [quotedText(cell), matches(text, field.pattern === undefined ? TEXT : ASCII_TEXT)];
  if (field.values === undefined) {
    const { lengthMin = STRING_LENGTH_MIN, lengthMax = STRING_LENGTH_MAX } = field;
    conditions.push(`length(${text}) BETWEEN ${lengthMin} AND ${lengthMax}`);
    if (field.pattern !== undefined) conditions.push(`regexp_matches(${text}, ${literal(field.pattern)})`);
  } else conditions.push(`${text} IN (${field.values.map(literal).join(', ')})`);
  return {
    made: [],
    proof: all(conditions),
    value: text,
    json: inQuotes(text),
    columns: [`${text} AS ${quoted(name)}`],
  };
}

function plainInteger(name: string, field: IntegerField, cell: Cell): Proved {
  const { text } = cell;
  const value = `${cell.prefix}_integer`;
  const limit = 10 ** SAFE_DIGITS;
  const min = BigInt(Math.ceil(Math.max(field.min, -limit)));
  const max = BigInt(Math.floor(Math.min(field.max, limit)));
  return {
    made: [`TRY_CAST(${text} AS BIGINT) AS ${value}`],
    proof: all([
      bareText(cell),
      matches(text, `-?(?:0|[1-9][0-9]{0,${SAFE_DIGITS - 1}})`),
      `${value} BETWEEN ${min} AND ${max}`,
    ]),
    value,
    json: `CAST(${value} AS VARCHAR)`,
    columns: [`${value} AS ${quoted(name)}`],
  };
}

function plainFloat(name: string, field: FloatField, cell: Cell): Proved {
  const value = `${cell.prefix}_double`;
  return {
    made: [doubleOf(cell.text, value)],
    proof: all([
      bareText(cell),
      matches(cell.text, NUMBER),
      isPlainDouble(value),
      `${value} BETWEEN ${double(field.min)} AND ${double(field.max)}`,
    ]),
    value,
    json: doubleText(value),
    columns: [`${value} AS ${quoted(name)}`],
  };
}

/** As text in both formats, and in JSON also as a number of up to 15 digits, which is told from no other. */
function plainDecimal(name: string, field: DecimalField, cell: Cell): Proved {
  const { precision, scale } = field;
  const { text } = cell;
  const fraction = scale === 0 ? '' : `(?:[.][0-9]{1,${scale}})?`;
  const value = `${cell.prefix}_decimal`;
  const { min, max } = decimalBounds(field);
  const fewDigits = `strlen(${text}) <= ${SAFE_DIGITS}`;
  return {
    made: [`TRY_CAST(${text} AS DECIMAL(${precision},${scale})) AS ${value}`],
    proof: all([
      cell.isQuoted === undefined ? 'true' : `(${cell.isQuoted} OR ${fewDigits})`,
      precision > scale
        ? matches(text, `-?(?:0|[1-9][0-9]{0,${precision - scale - 1}})${fraction}`)
        : matches(text, `-?0${fraction}`),
      `${value} BETWEEN ${min} AND ${max}`,
    ]),
    value,
    json: inQuotes(`CAST(${value} AS VARCHAR)`),
    columns: [`${value} AS ${quoted(name)}`],
  };
}

function plainBoolean(name: string, cell: Cell): Proved {
  const value = `(${cell.text} = 'true')`;
  return {
    made: [],
    proof: all([bareText(cell), `${cell.text} IN ('true', 'false')`]),
    value,
    json: cell.text,
    columns: [`${value} AS ${quoted(name)}`],
  };
}

/** Instants in UTC alone: others are moved by the validator. Whether the day exists, the cast says. */
function plainTime(name: string, type: 'timestamp' | 'wallclock' | 'date', cell: Cell): Proved {
  const { text } = cell;
  const time = `${cell.prefix}_time`;
  const instant = `concat(substr(${text}, 1, 19), '.', rpad(substr(${text}, 21, greatest(strlen(${text}) - 21, 0)), 6, '0'), 'Z')`;
  const { pattern, value, made } = {
    timestamp: {
      pattern: `${DAY}T${CLOCK}(?:[.][0-9]{1,6})?Z`,
      value: instant,
      made: `TRY_CAST(substr(${text}, 1, strlen(${text}) - 1) AS TIMESTAMP)`,
    },
    wallclock: { pattern: `${DAY} ${CLOCK}`, value: text, made: `TRY_CAST(${text} AS TIMESTAMP)` },
    date: { pattern: DAY, value: text, made: `TRY_CAST(${text} AS DATE)` },
  }[type];
  return {
    made: [`${made} AS ${time}`],
    proof: all([quotedText(cell), matches(text, pattern), `${time} IS NOT NULL`]),
    value,
    json: inQuotes(value),
    columns: [`${time} AS ${quoted(name)}`],
  };
}

function plainPoint(name: string, _field: PointField, cell: Cell): Proved {
  const { text } = cell;
  const [longitude, latitude] = [`${cell.prefix}_lon`, `${cell.prefix}_lat`];
  const part = (index: number): string => `split_part(substr(${text}, 8, strlen(${text}) - 8), ' ', ${index})`;
  const value = `concat('POINT (', ${doubleText(longitude)}, ' ', ${doubleText(latitude)}, ')')`;
  return {
    made: [doubleOf(part(1), longitude), doubleOf(part(2), latitude)],
    proof: all([
      quotedText(cell),
      matches(text, `POINT [(]${NUMBER} ${NUMBER}[)]`),
      isPlainDouble(longitude),
      isPlainDouble(latitude),
      `${longitude} BETWEEN -180 AND 180`,
      `${latitude} BETWEEN -90 AND 90`,
    ]),
    value,
    json: inQuotes(value),
    columns: [`${longitude} AS ${quoted(`${name}_lon`)}`, `${latitude} AS ${quoted(`${name}_lat`)}`],
  };
}

/** SQL that is true when every rule holds; a rule whose side has no value does. */
export function plainChecks(contract: Contract, fields: ReadonlyMap<string, PlainField>): string {
  const rules = (contract.checks ?? []).map(({ left, op, right }) => {
    const [one, other] = [fields.get(left), fields.get(right)];
    if (one === undefined || other === undefined) return 'false';
    if (!comparable(contract.fields[left], contract.fields[right])) return 'false';
    const operator = { lt: '<', lte: '<=', ne: '<>', eq: '=' }[op];
    return `(${one.text} IS NULL OR ${other.text} IS NULL OR ${one.value} ${operator} ${other.value})`;
  });
  return all(rules);
}

/** Text is compared by its bytes, numbers of one type as numbers. Any other pair is left to the validator. */
function comparable(left: Field | undefined, right: Field | undefined): boolean {
  const kind = (field: Field | undefined): string => {
    switch (field?.type) {
      case 'string':
      case 'timestamp':
      case 'wallclock':
      case 'date':
      case 'point':
        return 'text';
      default:
        return field?.type ?? 'none';
    }
  };
  return kind(left) === kind(right);
}

function quotedText({ isQuoted }: Cell): string {
  return isQuoted ?? 'true';
}

function bareText({ isQuoted }: Cell): string {
  return isQuoted === undefined ? 'true' : `NOT ${isQuoted}`;
}

function matches(text: string, pattern: string): string {
  return `regexp_full_match(${text}, ${literal(pattern)})`;
}

export function all(conditions: readonly string[]): string {
  const needed = conditions.filter((condition) => condition !== 'true');
  return needed.length === 0 ? 'true' : needed.join(' AND ');
}

function inQuotes(text: string): string {
  return `concat('"', ${text}, '"')`;
}

/** Adding 0 turns -0 into 0. */
function doubleOf(text: string, name: string): string {
  return `TRY_CAST(${text} AS DOUBLE) + 0 AS ${name}`;
}

function isPlainDouble(value: string): string {
  return `(${value} = 0 OR abs(${value}) BETWEEN ${FLOAT_LEAST} AND ${FLOAT_MOST})`;
}

/** Without the `.0` that DuckDB writes after a whole number, and without the sign of zero. */
function doubleText(value: string): string {
  return `CASE WHEN ${value} = trunc(${value}) THEN CAST(CAST(${value} AS BIGINT) AS VARCHAR) ELSE CAST(${value} AS VARCHAR) END`;
}

function double(limit: number): string {
  return `CAST(${literal(String(limit))} AS DOUBLE)`;
}

/** The limits cut to the column's scale, inwards, and to its precision. */
function decimalBounds({ precision, scale, min, max }: DecimalField): { readonly min: string; readonly max: string } {
  const widest = 10n ** BigInt(precision) - 1n;
  const low = unscaled(min, scale);
  const high = unscaled(max, scale);
  const type = `DECIMAL(${precision},${scale})`;
  const bound = (units: bigint): string => {
    const cut = units < -widest ? -widest : units > widest ? widest : units;
    const digits = (cut < 0n ? -cut : cut).toString().padStart(scale + 1, '0');
    const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    return `CAST(${literal(`${cut < 0n ? '-' : ''}${text}`)} AS ${type})`;
  };
  return { min: bound(low.exact ? low.units : low.units + 1n), max: bound(high.units) };
}

/** Rounded down. */
function unscaled(text: string, scale: number): { readonly units: bigint; readonly exact: boolean } {
  const [, sign = '', whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  const units = BigInt(`${whole}${fraction.slice(0, scale).padEnd(scale, '0')}`);
  const exact = /^0*$/.test(fraction.slice(scale));
  if (sign === '') return { units, exact };
  return { units: exact ? -units : -units - 1n, exact };
}
