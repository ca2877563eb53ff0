// Checks of single settings, and what their messages say: the option's name, its limit and the kind of
// value that was given. Never the text itself, which may be a password that was put in the wrong place.

import { isStorable } from '../basics/text.js';
import { kindOf, ownProperties, quoted } from '../checks/check.js';
import { suggest } from '../checks/spelling.js';
import { JobQueueError } from '../errors/job-queue-error.js';

/** A value as the user gave it, and what to call it in a message. */
export interface Given {
  readonly value: unknown;
  readonly name: string;
}

/** The options of an object that the user gave. */
export type Options = Readonly<Record<string, unknown>>;

/** The largest value of a timer in Node.js, and of an `integer` in Postgres. */
export const MAX_INT32 = 2_147_483_647;

export function invalidConfig(message: string): JobQueueError {
  return new JobQueueError('INVALID_CONFIG', message);
}

/**
 * Whether a setting is left to what comes after it. Empty strings are, as in node-postgres, because that is
 * what an unset variable becomes on its way through a shell or a template.
 */
export function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === false;
}

export function checkedText({ value, name }: Given): string {
  if (typeof value !== 'string') {
    throw invalidConfig(`${name} must be a string, got ${kindOf(value)}`);
  }
  if (!isStorable(value)) {
    throw invalidConfig(`${name} holds \\u0000 or a lone surrogate, which Postgres cannot read`);
  }
  return value;
}

export function checkedBoolean({ value, name }: Given): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidConfig(`${name} must be true or false, got ${kindOf(value)}`);
}

export function checkedInteger({ value, name }: Given, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value;
  }
  const got = typeof value === 'number' ? value : kindOf(value);
  throw invalidConfig(`${name} must be an integer between ${min} and ${max}, got ${got}`);
}

/** An integer that may be written in decimal digits, as it is in environments and connection strings. */
export function checkedDigits({ value, name }: Given, min: number, max: number): number {
  const digits = typeof value === 'string' && /^\d{1,15}$/.test(value);
  return checkedInteger({ value: digits ? Number(value) : value, name }, min, max);
}

/** The own properties of an object, and not what some library has set on `Object.prototype`. */
export function checkedOptions(value: unknown, name: string): Options {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return ownProperties(value);
  }
  throw invalidConfig(`${name} must be an object, got ${kindOf(value)}`);
}

/** The names of the options that were given: one that is `undefined` or `null` asks for nothing. */
export function givenOptions(options: Options): string[] {
  return Object.keys(options).filter((name) => (options[name] ?? null) !== null);
}

/** Refuses the first option that is not known; those of `elsewhere` are somebody else's to judge. */
export function refuseUnknown(
  options: Options,
  holder: string,
  known: readonly string[],
  elsewhere: readonly string[] = [],
): void {
  for (const option of givenOptions(options)) {
    if (known.includes(option) || elsewhere.includes(option)) continue;
    throw invalidConfig(`${holder} has no option ${quoted(option)}${suggest(option, known)}`);
  }
}
