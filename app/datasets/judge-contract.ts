/**
 * Judges a contract before anything is made from it, so that a mistake in a field table is one readable line at start
 * and not a wrong column, a check that never runs or a query that fails on the first request.
 *
 * Every problem names its place in the contract and the remedy; all of them are told at once.
 */
import { BUCKETS, MEASURES } from '../warehouse/query.ts';
import type { Contract, Field, GoldModel } from './contract.ts';
import { exampleProblem } from './judge-example.ts';

/** Fits every warehouse's identifier rules; `_` in front is the warehouse's own namespace. */
const NAME = /^[a-z][a-z0-9_]{0,62}$/;
const NAME_RULE = 'use lower-case letters, digits and _, starting with a letter, at most 63';
/** A table of this width is still one page of documentation. */
const FIELDS_MAX = 200;

type Fields = Readonly<Record<string, Field>>;

/** Empty when the contract is sound. */
export function contractProblems(contract: Contract): readonly string[] {
  const all: Fields = { ...contract.fields, ...contract.derived?.fields };
  return [
    ...headProblems(contract),
    ...Object.entries(contract.fields).flatMap(([name, field]) => fieldProblems(`fields.${name}`, name, field, 'sent')),
    ...Object.entries(contract.derived?.fields ?? {}).flatMap(([name, field]) =>
      fieldProblems(`derived.fields.${name}`, name, field, 'derived'),
    ),
    ...columnProblems(contract),
    ...identityProblems(contract),
    ...checkProblems(contract),
    ...unclassifiedProblems(contract),
    ...retentionProblems(contract),
    ...Object.entries(contract.gold).flatMap(([name, model]) => goldProblems(name, model, all)),
  ];
}

function headProblems(contract: Contract): string[] {
  const problems: string[] = [];
  if (!NAME.test(contract.name)) problems.push(`name: "${contract.name}" is not a dataset name; ${NAME_RULE}.`);
  if (!isPositiveInteger(contract.version))
    problems.push(`version: ${contract.version} is not a whole number from 1. Start at 1.`);
  if (contract.title.trim() === '') problems.push('title: is empty. Give it a title of a few words.');
  if (contract.description.trim() === '') problems.push('description: is empty. Say in one sentence what a record is.');
  const fieldCount = Object.keys(contract.fields).length;
  if (fieldCount === 0) problems.push('fields: is empty. Describe at least the event date.');
  if (fieldCount > FIELDS_MAX)
    problems.push(`fields: ${fieldCount} fields, limit is ${FIELDS_MAX}. Split the dataset.`);
  if (!isPositiveInteger(contract.freshnessSeconds)) {
    problems.push(`freshnessSeconds: ${contract.freshnessSeconds} is not a whole number from 1. Promise seconds.`);
  }
  if (contract.expectEverySeconds !== undefined && !isPositiveInteger(contract.expectEverySeconds)) {
    problems.push(
      `expectEverySeconds: ${contract.expectEverySeconds} is not a whole number from 1. Give seconds or leave it out.`,
    );
  }
  if (!/^[^/\\]+\.(json|ndjson|csv)$/.test(contract.sample.file)) {
    problems.push(`sample.file: "${contract.sample.file}" is not a .json, .ndjson or .csv file beside the contract.`);
  }
  return problems;
}

function fieldProblems(place: string, name: string, field: Field, origin: 'sent' | 'derived'): string[] {
  const problems: string[] = [];
  if (name.startsWith('_'))
    problems.push(`${place}: names that start with _ are the warehouse's. Drop the underscore.`);
  else if (!NAME.test(name)) problems.push(`${place}: is not a field name; ${NAME_RULE}.`);
  if (field.description.trim() === '') problems.push(`${place}.description: is empty. Say what the field means.`);
  if (field.type === 'counts' && origin === 'sent') {
    problems.push(`${place}: counts are derived, never sent. Move the field to derived.fields.`);
  }
  problems.push(...rangeProblems(place, field));
  const example = exampleProblem(field);
  if (example !== undefined)
    problems.push(`${place}.example: ${JSON.stringify(field.example)} ${example}. Give a valid one.`);
  return problems;
}

function rangeProblems(place: string, field: Field): string[] {
  if (field.type === 'integer' || field.type === 'float') {
    return field.min <= field.max ? [] : [`${place}: min ${field.min} is over max ${field.max}. Swap them.`];
  }
  if (field.type === 'decimal') {
    const sized =
      Number.isInteger(field.scale) && field.scale >= 0 && field.precision > field.scale && field.precision <= 38;
    return sized
      ? []
      : [`${place}: DECIMAL(${field.precision},${field.scale}) does not exist. Use 0 <= scale < precision <= 38.`];
  }
  if (field.type !== 'string') return [];
  const problems: string[] = [];
  if ((field.lengthMin ?? 1) > (field.lengthMax ?? 255))
    problems.push(`${place}: lengthMin is over lengthMax. Swap them.`);
  if (field.pattern !== undefined && !/^\^.*\$$/.test(field.pattern)) {
    problems.push(
      `${place}.pattern: "${field.pattern}" is not anchored. Write ^…$, or files and HTTP rows are judged differently.`,
    );
  }
  if (field.values !== undefined && (field.values.length === 0 || new Set(field.values).size !== field.values.length)) {
    problems.push(`${place}.values: is empty or repeats a value. List each allowed value once.`);
  }
  return problems;
}

/** A point becomes two columns: their names must be free as well. */
function columnProblems(contract: Contract): string[] {
  const seen = new Set<string>();
  const problems: string[] = [];
  for (const [name, field] of [...Object.entries(contract.fields), ...Object.entries(contract.derived?.fields ?? {})]) {
    for (const column of field.type === 'point' ? [`${name}_lon`, `${name}_lat`, name] : [name]) {
      if (seen.has(column)) problems.push(`fields.${name}: the column ${column} exists twice. Rename one field.`);
      seen.add(column);
    }
  }
  return problems;
}

function identityProblems(contract: Contract): string[] {
  const problems: string[] = [];
  const eventDate = contract.fields[contract.eventDate];
  if (eventDate === undefined) {
    problems.push(`eventDate: "${contract.eventDate}" is not a field. Name a timestamp, wallclock or date field.`);
  } else if (!['timestamp', 'wallclock', 'date'].includes(eventDate.type)) {
    problems.push(
      `eventDate: "${contract.eventDate}" is of type ${eventDate.type}. Name a timestamp, wallclock or date field.`,
    );
  } else if (eventDate.optional) {
    problems.push(`eventDate: "${contract.eventDate}" is optional, but every row needs a partition. Make it required.`);
  }
  if (contract.identity.kind === 'occurrence') return problems;
  if (contract.identity.fields.length === 0)
    problems.push('identity.fields: is empty. Name the key, or use kind occurrence.');
  for (const name of contract.identity.fields) {
    const field = contract.fields[name];
    if (field === undefined) problems.push(`identity.fields: "${name}" is not a field. Name fields of the contract.`);
    else if (field.optional)
      problems.push(
        `identity.fields: "${name}" is optional; a key without a value recognises nothing. Make it required.`,
      );
  }
  return problems;
}

function checkProblems(contract: Contract): string[] {
  return (contract.checks ?? []).flatMap((check, index) => {
    const left = contract.fields[check.left];
    const right = contract.fields[check.right];
    if (left === undefined || right === undefined) {
      const missing = left === undefined ? check.left : check.right;
      return [`checks[${index}] (${check.name}): "${missing}" is not a field. Compare two fields of the contract.`];
    }
    if (left.type !== right.type) {
      return [
        `checks[${index}] (${check.name}): compares ${left.type} with ${right.type}. Compare fields of one type.`,
      ];
    }
    return [];
  });
}

function unclassifiedProblems({ unclassified, fields, derived }: Contract): string[] {
  if (unclassified === undefined) return [];
  const problems: string[] = [];
  if (derived?.fields[unclassified.field]?.optional !== true) {
    problems.push(
      `unclassified.field: "${unclassified.field}" is not an optional derived field. Name the one that is null in such a row.`,
    );
  }
  if (!['integer', 'float', 'decimal'].includes(fields[unclassified.sum]?.type ?? '')) {
    problems.push(
      `unclassified.sum: "${unclassified.sum}" is not a number of the row. Name an integer, float or decimal.`,
    );
  }
  return problems;
}

function retentionProblems(contract: Contract): string[] {
  const days = contract.retentionDays;
  const problems = Object.entries(days)
    .filter(([, value]) => !isPositiveInteger(value))
    .map(([name, value]) => `retentionDays.${name}: ${value} is not a whole number from 1. Give days.`);
  if (days.silver > days.bronze) {
    problems.push(
      `retentionDays.silver: ${days.silver} is over bronze's ${days.bronze}, so a rebuild would lose rows. Lower it.`,
    );
  }
  if (days.quarantine > days.bronze) {
    problems.push(
      `retentionDays.quarantine: ${days.quarantine} is over bronze's ${days.bronze}, and what bronze forgets no quarantine keeps. Lower it.`,
    );
  }
  return problems;
}

function goldProblems(name: string, model: GoldModel, fields: Fields): string[] {
  const place = `gold.${name}`;
  const unknown = (names: readonly string[]): string[] =>
    names
      .filter((field) => fields[field] === undefined)
      .map((field) => `${place}: "${field}" is not a field. Name fields of the contract.`);
  const problems = NAME.test(name) ? [] : [`${place}: is not a model name; ${NAME_RULE}.`];
  switch (model.kind) {
    case 'aggregate':
      problems.push(
        ...unknown(model.by),
        ...model.measures.flatMap((measure) => measureProblems(place, measure, fields)),
      );
      if (model.bucket !== undefined) problems.push(...bucketProblems(place, model.bucket, fields));
      return problems;
    case 'fact':
      problems.push(...unknown(model.columns));
      if (fields[model.list]?.type !== 'counts')
        problems.push(`${place}.list: "${model.list}" is not a counts field. Name a derived one.`);
      for (const column of [model.nameColumn, model.countColumn]) {
        if (!NAME.test(column) || model.columns.includes(column))
          problems.push(`${place}: "${column}" is not a free column name; ${NAME_RULE}.`);
      }
      return problems;
    case 'dimension':
      problems.push(...unknown([model.field]));
      if (!NAME.test(model.column))
        problems.push(`${place}.column: "${model.column}" is not a column name; ${NAME_RULE}.`);
      return problems;
  }
}

function measureProblems(place: string, measure: string, fields: Fields): string[] {
  const [fn, field] = measure.split(':');
  if (!MEASURES.some((known) => known === fn))
    return [`${place}: "${measure}" is not a measure. Use ${MEASURES.join(', ')}.`];
  if (fn === 'count' ? field !== undefined : field === undefined || !hasColumn(fields, field)) {
    return [`${place}: "${measure}" names no field. Write count, or a measure and a field as in avg:delay.`];
  }
  return [];
}

function bucketProblems(place: string, bucket: string, fields: Fields): string[] {
  const [field = '', unit] = bucket.split(':');
  const timed = ['timestamp', 'wallclock', 'date'].includes(fields[field]?.type ?? '');
  if (timed && BUCKETS.some((known) => known === unit)) return [];
  return [
    `${place}.bucket: "${bucket}" is not a time field and a unit. Write as in departed_at:day; units are ${BUCKETS.join(', ')}.`,
  ];
}

function hasColumn(fields: Fields, column: string): boolean {
  return fields[column] !== undefined || fields[column.replace(/_(lon|lat)$/, '')]?.type === 'point';
}

function isPositiveInteger(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
