/**
 * What a dataset promises, as data.
 *
 * A contract is a field table. Everything that must agree about a row is made from it and from nothing else: the
 * zod schema that judges HTTP rows, the JSON Schema that is published, the warehouse's columns, the SQL checks that
 * judge files, the allow-list of names a query may use.
 */

interface FieldBase {
  readonly description: string;
  /** A valid value, shown in the docs and used by tests. */
  readonly example: string | number | boolean;
  readonly unit?: string;
  /** Masked in verdicts, quarantine and dead letters for everybody but admin. */
  readonly personal?: true;
  /** May be absent or null. */
  readonly optional?: true;
}

export interface StringField extends FieldBase {
  readonly type: 'string';
  /** In code points. Default 1 … 255. */
  readonly lengthMin?: number;
  readonly lengthMax?: number;
  /** An anchored regular expression that both JavaScript and RE2 (DuckDB, BigQuery) read alike. */
  readonly pattern?: string;
  /** A closed list. */
  readonly values?: readonly string[];
}
export interface IntegerField extends FieldBase {
  readonly type: 'integer';
  /** Inclusive. A signed 64-bit integer; beyond 2^53 it travels as a string. */
  readonly min: number;
  readonly max: number;
}
export interface FloatField extends FieldBase {
  readonly type: 'float';
  readonly min: number;
  readonly max: number;
}
export interface DecimalField extends FieldBase {
  readonly type: 'decimal';
  readonly precision: number;
  readonly scale: number;
  /** Decimal text, inclusive. */
  readonly min: string;
  readonly max: string;
}
export interface BooleanField extends FieldBase {
  readonly type: 'boolean';
}
/** RFC 3339 with an offset; kept as a UTC instant with microseconds. */
export interface TimestampField extends FieldBase {
  readonly type: 'timestamp';
}
/** Local wall clock `YYYY-MM-DD HH:MM:SS`, stored without a zone. */
export interface WallclockField extends FieldBase {
  readonly type: 'wallclock';
}
/** `YYYY-MM-DD`. */
export interface DateField extends FieldBase {
  readonly type: 'date';
}
/** `POINT (lon lat)` in degrees; two DOUBLE columns `<name>_lon`, `<name>_lat`, which queries name as fields. */
export interface PointField extends FieldBase {
  readonly type: 'point';
}
/** Only derived: (name, count) pairs, in the warehouse a list of STRUCT(name VARCHAR, count INTEGER). */
export interface CountsField extends FieldBase {
  readonly type: 'counts';
}

export type Field =
  | StringField
  | IntegerField
  | FloatField
  | DecimalField
  | BooleanField
  | TimestampField
  | WallclockField
  | DateField
  | PointField
  | CountsField;

/** Values as JSON carries them after validation: decimals and instants are canonical strings. */
export type RowValue = string | number | boolean | null | readonly { readonly name: string; readonly count: number }[];
export type Row = Readonly<Record<string, RowValue>>;

/**
 * How a row is recognised when it comes again.
 * `key`: same fields and same event date → same event; other content is a conflict.
 * `occurrence`: the n-th equal row of one source is one event; two equal rows of one source are two.
 */
export type Identity = { readonly kind: 'key'; readonly fields: readonly string[] } | { readonly kind: 'occurrence' };

/** A rule over several fields of one row, as an expression both paths compile: `left op right`. */
export interface Check {
  readonly name: string;
  readonly description: string;
  readonly left: string;
  readonly op: 'lt' | 'lte' | 'ne' | 'eq';
  readonly right: string;
}

/** Fields computed from a valid row (never sent by the producer), computed again on every rebuild. */
export interface Derivation {
  readonly fields: Readonly<Record<string, Field>>;
  readonly derive: (row: Row) => Row;
}

export type GoldModel =
  | {
      /** A view that groups silver: names as in the query grammar. */
      readonly kind: 'aggregate';
      readonly description: string;
      readonly measures: readonly string[];
      readonly by: readonly string[];
      readonly bucket?: string;
    }
  | {
      /** A view with one row for each element of a derived `counts` field, joined with columns of its row. */
      readonly kind: 'fact';
      readonly description: string;
      readonly list: string;
      /** What the view calls an element's name and count. */
      readonly nameColumn: string;
      readonly countColumn: string;
      readonly columns: readonly string[];
    }
  | {
      /**
       * A view with one row for each distinct value that is not null: of a column, or of the names in a derived
       * `counts` field. Its one column is called `column`.
       */
      readonly kind: 'dimension';
      readonly description: string;
      readonly field: string;
      readonly column: string;
    };

export interface Contract {
  /** snake_case; also the table's and the URL's name. */
  readonly name: string;
  readonly version: number;
  readonly title: string;
  readonly description: string;
  readonly fields: Readonly<Record<string, Field>>;
  readonly derived?: Derivation;
  readonly identity: Identity;
  /** A timestamp, wallclock or date field; its day is the partition. */
  readonly eventDate: string;
  readonly checks?: readonly Check[];
  /** The promise: an accepted row is readable within this many seconds. */
  readonly freshnessSeconds: number;
  /** A row is expected at least this often; its breach is a ticket of its own. */
  readonly expectEverySeconds?: number;
  /** Rows in which nothing could be derived: they are kept, and counted apart as gauges. */
  readonly unclassified?: {
    /** A derived field that is null in such a row. */
    readonly field: string;
    /** A number of the row, summed over them: how much they weigh. */
    readonly sum: string;
  };
  readonly retentionDays: {
    readonly bronze: number;
    readonly silver: number;
    readonly quarantine: number;
    readonly deadLetters: number;
    readonly archive: number;
  };
  readonly gold: Readonly<Record<string, GoldModel>>;
  readonly sample: {
    /** File beside the contract: `.json` (array), `.ndjson` or `.csv`. */
    readonly file: string;
    readonly source: string;
    readonly license: string;
  };
}

/**
 * The columns of a gold view that a query may name, with their types: what `AggregateQuery.model` is judged by.
 * Of an aggregate model only its dimensions, because its measures cannot be added up again (an average of averages).
 */
export function modelFields(contract: Contract, modelName: string): Readonly<Record<string, Field>> | undefined {
  const model = contract.gold[modelName];
  if (model === undefined) return undefined;
  const fields: Readonly<Record<string, Field>> = { ...contract.fields, ...contract.derived?.fields };
  const pick = (names: readonly string[]): [string, Field][] =>
    names.flatMap((name) => {
      const field = fields[name];
      return field === undefined ? [] : [[name, field]];
    });
  switch (model.kind) {
    case 'aggregate':
      return Object.fromEntries(pick(model.by));
    case 'fact':
      return {
        ...Object.fromEntries(pick(model.columns)),
        [model.nameColumn]: { type: 'string', description: 'Name of the element.', example: 'name' },
        [model.countColumn]: {
          type: 'integer',
          description: 'Count of the element.',
          example: 1,
          min: 0,
          max: 2 ** 31 - 1,
        },
      };
    case 'dimension':
      return { [model.column]: { type: 'string', description: model.description, example: 'name' } };
  }
}
