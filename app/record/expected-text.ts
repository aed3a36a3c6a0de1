/** What a field takes, in the words a refused row's sender reads. */
import type { Field, StringField } from '../datasets/contract.ts';
import { isWide } from './schema.ts';

const VALUES_SHOWN_MAX = 20;

export function expectedText(field: Field): string {
  const unit = field.unit === undefined ? '' : ` (${field.unit})`;
  return `${kindText(field)}${unit}${field.optional === true ? ', or nothing' : ''}`;
}

function kindText(field: Field): string {
  switch (field.type) {
    case 'string':
      return stringText(field);
    case 'integer': {
      const wide = isWide(field) ? '; beyond 2^53 as a string of digits' : '';
      return `a whole number from ${field.min} to ${field.max}${wide}`;
    }
    case 'float':
      return `a number from ${field.min} to ${field.max}`;
    case 'decimal': {
      const digits = `at most ${field.scale} digits after the point`;
      return `a decimal from ${field.min} to ${field.max} with ${digits}, as a number of up to 15 digits or as text`;
    }
    case 'boolean':
      return 'true or false';
    case 'timestamp':
      return 'an RFC 3339 instant with an offset and at most 6 digits of a second, as 2024-03-09T15:04:05.123Z, years 0001 to 9999';
    case 'wallclock':
      return 'a wall clock as 2018-05-21 02:54:04, years 0001 to 9999';
    case 'date':
      return 'a date as 2018-05-21, years 0001 to 9999';
    case 'point':
      return 'POINT (longitude latitude) in degrees, -180 to 180 and -90 to 90';
    case 'counts':
      return 'nothing: the field is derived';
  }
}

function stringText({ lengthMin = 1, lengthMax = 255, pattern, values }: StringField): string {
  if (values !== undefined) {
    const more = values.length > VALUES_SHOWN_MAX ? ` and ${values.length - VALUES_SHOWN_MAX} more` : '';
    return `one of ${values.slice(0, VALUES_SHOWN_MAX).join(', ')}${more}`;
  }
  const length = lengthMin === lengthMax ? `${lengthMin}` : `${lengthMin} to ${lengthMax}`;
  return `text of ${length} characters${pattern === undefined ? '' : ` matching ${pattern}`}, without NUL`;
}
