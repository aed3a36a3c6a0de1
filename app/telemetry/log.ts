/**
 * Log lines: JSON, one event a line, trace ids from the active span. Guarantees that a line carries only the fields
 * its event lists in the catalogue, so nothing a caller sent (values, headers, keys, exception messages) can get in
 * by way of an object that happened to hold it. Errors are written as class, code, detail and stack frames.
 */
import { pino } from 'pino';
import { AppError } from '../errors.ts';
import { LEVELS, LOG_EVENTS, type LogEvent, type LogEventDefinition } from './catalogue.ts';
import { type LogDestination, type LogDestinationOptions, openLogDestination } from './log-destination.ts';

export type Level = (typeof LEVELS)[number];
type FieldsOf<E extends LogEvent> = (typeof LOG_EVENTS)[E]['fields'][number];
type FieldValue<F extends string> = F extends 'error' ? unknown : string | number | boolean | undefined;
export type LogFields<E extends LogEvent> = { readonly [F in FieldsOf<E>]?: FieldValue<F> };

/** A code, an id, a name. Longer text is somebody's payload or a mistake. */
const FIELD_CHARS_MAX = 256;
const STACK_FRAMES_MAX = 16;
const CAUSES_MAX = 4;

export interface LogOptions {
  readonly level: Level | 'silent';
  readonly destination: LogDestinationOptions;
  readonly now: () => number;
}

export interface Log {
  write<E extends LogEvent>(event: E, fields: LogFields<E>): void;
  /** Lines handed to the destination so far, by level. */
  readonly lines: Readonly<Record<Level, number>>;
  readonly destination: LogDestination;
}

interface Plan {
  readonly definition: LogEventDefinition;
  /** Field as given → key on the line. */
  readonly keys: readonly (readonly [field: string, key: string])[];
}

export function openLog({ level, destination: destinationOptions, now }: LogOptions): Log {
  const destination = openLogDestination(destinationOptions);
  const lines: Record<Level, number> = { trace: 0, debug: 0, info: 0, warn: 0, error: 0, fatal: 0 };
  const counted = {
    write: (line: string): void => {
      const name = LEVELS[Number(line[LEVEL_AT]) - 1];
      if (name !== undefined) lines[name] += 1;
      destination.write(line);
    },
  };
  const logger = pino({ level, base: null, timestamp: () => `,"time":${now()}` }, counted);
  return {
    lines,
    destination,
    write: (event, fields) => {
      const { definition, keys } = planOf(event);
      if (logger.isLevelEnabled(definition.level)) logger[definition.level](lineOf(keys, fields), definition.event);
    },
  };
}

/** `{"level":30,…`: pino writes the level first, as a number from 10 to 60. */
const LEVEL_AT = '{"level":'.length;

const plans = new Map<LogEvent, Plan>();

function planOf(event: LogEvent): Plan {
  const known = plans.get(event);
  if (known !== undefined) return known;
  const definition: LogEventDefinition = LOG_EVENTS[event];
  const plan = { definition, keys: definition.fields.map((field) => [field, snakeCase(field)] as const) };
  plans.set(event, plan);
  return plan;
}

function lineOf(keys: Plan['keys'], fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const line: Record<string, unknown> = {};
  for (const [field, key] of keys) {
    const value = fields[field];
    if (value === undefined || value === '') continue;
    if (field === 'error') Object.assign(line, describeError(value));
    else
      line[key] = typeof value === 'string' && value.length > FIELD_CHARS_MAX ? value.slice(0, FIELD_CHARS_MAX) : value;
  }
  return line;
}

/** What may be said of an error: never its message, which may quote what a caller sent. An AppError's detail is ours. */
export function describeError(error: unknown): Readonly<Record<string, string>> {
  const causes = causesOf(error);
  const root = causes.at(-1);
  const coded = causes.find((one) => codeOf(one) !== undefined);
  const detailed = causes.find((one) => one instanceof AppError && one.detail !== undefined);
  const described: Record<string, string> = { error_type: causes.map(classOf).join(' < ') };
  const code = codeOf(coded);
  if (code !== undefined) described.error_code = code;
  if (detailed instanceof AppError && detailed.detail !== undefined)
    described.error_detail = detailed.detail.slice(0, FIELD_CHARS_MAX);
  if (root instanceof Error) described.error_stack = framesOf(root);
  return described;
}

/** From the outermost error to the root. */
function causesOf(error: unknown): readonly unknown[] {
  const causes: unknown[] = [error];
  while (causes.length < CAUSES_MAX) {
    const last = causes.at(-1);
    if (!(last instanceof Error) || last.cause === undefined || last.cause === null) break;
    causes.push(last.cause);
  }
  return causes;
}

function classOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

/** An AppError's or the system's (`ENOSPC`): capitals only, so that no free text comes in under this name. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return /^[A-Z][A-Z0-9_]{1,63}$/.test(error.code) ? error.code : undefined;
}

/** The message stands before the frames and may look like one; it is cut off first. */
function framesOf({ stack = '', message }: Error): string {
  const at = message === '' ? -1 : stack.indexOf(message);
  const frames = (at < 0 ? stack : stack.slice(at + message.length)).match(/^\s+at .+$/gm) ?? [];
  return frames
    .slice(0, STACK_FRAMES_MAX)
    .map((frame) => frame.trim())
    .join('\n');
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
