/**
 * SQL that reads a range's work file and answers the rows that are surely valid: typed columns, canonical text, id.
 *
 * A record that is anything but plain is left out, never guessed at: the caller asks the validator for every index that
 * is missing. Undefined for a contract with derived fields, which only TypeScript can compute.
 */
import type { Contract } from '../datasets/contract.ts';
import { literal, quoted } from './duckdb-session.ts';
import type { FileRange } from './file-range.ts';
import { all, type Cell, plainChecks, type PlainField, plainField } from './plain-fields.ts';

/** Longer lines are left to the validator. DuckDB's own choice is 2 MB, and 32 MB of buffer for each reader. */
const LINE_BYTES_MAX = 2 * 1024 * 1024;

/**
 * No filter and no expression is moved through a LIMIT. Otherwise the filter is pushed below what it filters, and
 * everything is made twice or more: 3 s for 100,000 rows in place of 0.5; a materialized CTE would take 0.7.
 */
const BARRIER = 'LIMIT 1000000000000';

/** The statement `SELECT <index>, <silver columns>, <event date>, <id>, <canonical text>`. */
export function plainRows(contract: Contract, range: Pick<FileRange, 'format' | 'path'>): string | undefined {
  if (contract.derived !== undefined) return undefined;
  const names = Object.keys(contract.fields);
  const source =
    range.format.kind === 'csv' ? csvCells(contract, range.format.columns, range.path) : jsonCells(names, range.path);
  const fields = new Map(
    Object.entries(contract.fields).map(([name, field], at) => [name, plainField(name, field, source.cells(at))]),
  );
  const proofs = [...fields].map(([name, { text, proof }]) =>
    contract.fields[name]?.optional === true ? `(${text} IS NULL OR (${proof}))` : `${text} IS NOT NULL AND ${proof}`,
  );
  const where = all(['_index IS NOT NULL', ...source.proofs, ...proofs, plainChecks(contract, fields)]);
  const day = `substr(${fieldOf(fields, contract.eventDate).value}, 1, 10)`;
  const columns = names.flatMap((name) => fields.get(name)?.columns ?? []);
  const keys =
    contract.identity.kind === 'key' ? contract.identity.fields.map((name) => keyPart(fieldOf(fields, name))) : [];
  const id =
    contract.identity.kind === 'key'
      ? hashed(
          `concat(${literal(`[${JSON.stringify(contract.name)},"`)}, _day, '","key"', ${keys.map((_, at) => `_key${at}`).join(', ')}, ']')`,
        )
      : hashed(occurrenceText(contract, { day: '_day', occurrence: '1', body: 'body' }));
  const keyColumns = keys.map((key, at) => `${key} AS _key${at}`);
  const kept = ['_index', ...columns, `${day} AS _day`, ...keyColumns, `${bodyText(contract, fields)} AS body`];
  const hidden = ['_day', ...keys.map((_, at) => `_key${at}`)];
  const made = [...fields.values()].flatMap((field) => field.made);
  return `SELECT _index, * EXCLUDE (_index, ${hidden.join(', ')}, body), CAST(_day AS DATE) AS _event_date, ${id} AS _event_id, body
    FROM (SELECT ${kept.join(', ')} FROM (SELECT ${['*', ...made].join(', ')} FROM (${source.select}) ${BARRIER}) WHERE ${where} ${BARRIER})`;
}

/** Of the n-th equal row of a file, as `eventIdInFile` hashes it. Arguments are SQL. */
export function occurrenceText(
  contract: Contract,
  parts: { readonly day: string; readonly occurrence: string; readonly body: string },
): string {
  const { day, occurrence, body } = parts;
  return `concat(${literal(`[${JSON.stringify(contract.name)},"`)}, ${day}, '","file",', ${occurrence}, ',', ${body}, ']')`;
}

/** 16 bytes of SHA-256. */
export function hashed(text: string): string {
  return `CAST(substr(sha256(${text}), 1, 32) AS UUID)`;
}

interface Source {
  /** A SELECT with `_index` and the columns that the cells name. */
  readonly select: string;
  /** Of the field at this place in the contract. */
  readonly cells: (at: number) => Cell;
  readonly proofs: readonly string[];
}

/** A cell of its own for the index; a field that the header lacks has no value. */
function csvCells(contract: Contract, header: readonly string[], path: string): Source {
  const types = ['_i', ...header.map((_, at) => `h${at}`)].map((name) => `${literal(name)}: 'VARCHAR'`).join(', ');
  const read = `read_csv(${literal(path)}, header = false, auto_detect = false, delim = ',', quote = '"', escape = '"', new_line = '\\n',
    columns = {${types}}, ignore_errors = true, parallel = false, max_line_size = ${LINE_BYTES_MAX}, buffer_size = ${2 * LINE_BYTES_MAX})`;
  const cells = Object.keys(contract.fields).map((name, at) => {
    const place = header.indexOf(name);
    // An empty cell and a quoted empty cell are both no value.
    return `${place < 0 ? 'CAST(NULL AS VARCHAR)' : `nullif(h${place}, '')`} AS c${at}`;
  });
  return {
    select: `SELECT TRY_CAST(_i AS INTEGER) AS _index, ${cells.join(', ')} FROM ${read}`,
    cells: (at) => ({ text: `c${at}`, prefix: `c${at}` }),
    proofs: [],
  };
}

/**
 * A line of JSON. DuckDB's reader takes a comma before a closing bracket, which JSON has not, and of a key that comes
 * twice the first where JavaScript takes the last: both are left to the validator. It writes values anew: text keeps a
 * backslash only where JSON needs one, and such text is not plain.
 */
function jsonCells(names: readonly string[], path: string): Source {
  const read = `read_csv(${literal(path)}, header = false, auto_detect = false, delim = '\\t', quote = '', escape = '', new_line = '\\n',
    columns = {'_i': 'VARCHAR', '_line': 'VARCHAR'}, ignore_errors = true, parallel = false, max_line_size = ${LINE_BYTES_MAX}, buffer_size = ${2 * LINE_BYTES_MAX})`;
  const paths = names.map((name) => literal(`$.${quoted(name)}`)).join(', ');
  const lines = `SELECT TRY_CAST(_i AS INTEGER) AS _index, _line FROM ${read}
    WHERE json_valid(_line) AND starts_with(_line, '{') AND NOT regexp_matches(_line, ',[ \\t\\r\\n]*[}\\]]')`;
  const values = `SELECT _index, CAST(json_extract(_line, [${paths}]) AS VARCHAR[]) AS _j, len(json_keys(_line)) AS _keys FROM (${lines})`;
  const cells = names.map((_, at) => {
    const value = `_j[${at + 1}]`;
    return `CASE WHEN starts_with(${value}, '"') THEN substr(${value}, 2, length(${value}) - 2) WHEN ${value} <> 'null' THEN ${value} END AS c${at},
      starts_with(${value}, '"') AS q${at}`;
  });
  return {
    select: `SELECT _index, _keys = len(list_filter(_j, lambda x: x IS NOT NULL)) AS _known, ${cells.join(', ')} FROM (${values})`,
    cells: (at) => ({ text: `c${at}`, prefix: `c${at}`, isQuoted: `q${at}` }),
    proofs: ['_known'],
  };
}

function fieldOf(fields: ReadonlyMap<string, PlainField>, name: string): PlainField {
  const field = fields.get(name);
  if (field === undefined) throw new Error(`the contract has no field ${name}`);
  return field;
}

/** `,<JSON>` */
function keyPart({ text, json }: PlainField): string {
  return `concat(',', CASE WHEN ${text} IS NULL THEN 'null' ELSE ${json} END)`;
}

/** The row as `JSON.stringify` writes it: contract order, fields without a value left out. */
function bodyText(contract: Contract, fields: ReadonlyMap<string, PlainField>): string {
  const [first] = Object.values(contract.fields);
  // The comma before the first is cut off again when what comes first may be absent.
  const isCut = first?.optional === true;
  const parts = [...fields].map(([name, { text, json }], at) => {
    const key = literal(`${at === 0 && !isCut ? '' : ','}${JSON.stringify(name)}:`);
    return contract.fields[name]?.optional === true
      ? `CASE WHEN ${text} IS NOT NULL THEN concat(${key}, ${json}) END`
      : `${key}, ${json}`;
  });
  const text = parts.join(', ');
  return isCut ? `concat('{', substr(concat(${text}), 2), '}')` : `concat('{', ${text}, '}')`;
}
