/** The checks that argument validation is made of, and the wording that its messages share. */

import { types } from 'node:util';
import { clip, hasAtMost, inLine, isStorable } from '../basics/text.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { suggest } from './spelling.js';

/** `integer` columns of Postgres. */
export const INT4_MIN = -2_147_483_648;
export const INT4_MAX = 2_147_483_647;

/** The width of the varchar columns, in characters. */
export const MAX_NAME = 255;

const LONGEST_KEY_SHOWN = 40;

/** Throws `INVALID_ARGUMENT` with a message that begins with the method. */
export function refuse(method: string, problem: string): never {
  throw new JobQueueError('INVALID_ARGUMENT', `${method}: ${problem}`);
}

/** Throws `INVALID_ARGUMENT` saying what a field must be and what kind of value it was given. */
export function refuseValue(method: string, field: string, rule: string, value: unknown): never {
  refuse(method, `${field} must be ${rule}, got ${shown(value)}`);
}

/** Numbers are shown; of everything else only the kind, since it may be long, or secret. */
function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : kindOf(value);
}

/** What kind of value it is, for a message: `null`, `a string`, `an array`, `an invalid Date`. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'bigint') return 'a BigInt';
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (isDate(value)) return Number.isNaN(timeOf(value)) ? 'an invalid Date' : 'a Date';
  return Array.isArray(value) ? 'an array' : 'an object';
}

/** A `Date` of any realm: Jest and `vm` have classes of their own, which `instanceof` denies. */
export function isDate(value: unknown): value is Date {
  return types.isDate(value);
}

/** Epoch milliseconds; read from the `Date` itself, whatever a subclass makes of `getTime`. */
export function timeOf(date: Date): number {
  return Date.prototype.getTime.call(date);
}

/** Checks a whole number of `min` to `max`. */
export function integer(
  method: string,
  field: string,
  value: unknown,
  min: number,
  max: number,
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value;
  }
  refuseValue(method, field, `an integer between ${min} and ${max}`, value);
}

/** Checks a number of `min` to `max`, fractions included. */
export function number(
  method: string,
  field: string,
  value: unknown,
  min: number,
  max: number,
): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  refuseValue(method, field, `a number between ${min} and ${max}`, value);
}

/** Checks a boolean. */
export function boolean(method: string, field: string, value: unknown): boolean {
  return typeof value === 'boolean' ? value : refuseValue(method, field, 'a boolean', value);
}

/** Checks text that fits a `varchar(255)` column: 1 to 255 characters that Postgres can store. */
export function name(method: string, field: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') {
    const given = value === '' ? 'an empty string' : shown(value);
    refuse(method, `${field} must be a string of 1 to ${MAX_NAME} characters, got ${given}`);
  }
  if (!hasAtMost(MAX_NAME, value)) {
    refuse(method, `${field} must be a string of 1 to ${MAX_NAME} characters, got a longer one`);
  }
  if (!isStorable(value)) {
    refuse(method, `${field} holds \\u0000 or a lone surrogate, which Postgres cannot store`);
  }
  return value;
}

/** Checks a `Date` that Postgres has, and gives its epoch milliseconds. */
export function time(method: string, field: string, value: unknown): number {
  if (!isDate(value) || Number.isNaN(timeOf(value))) {
    refuseValue(method, field, 'a valid Date', value);
  }
  if (timeOf(value) < EARLIEST) refuse(method, `${field} must not be before 24 November 4714 BC`);
  return timeOf(value);
}

/** The first moment that `timestamptz` has. Its last one, in 294276, is later than that of `Date`. */
const EARLIEST = Date.UTC(-4713, 10, 24);

/**
 * Checks an object that carries named options, and that it has no others. Its own properties count, and not what
 * some library has set on `Object.prototype`. An instance of a class that shows none at all is something else that
 * got here, such as a database client.
 */
export function options(
  method: string,
  field: string,
  value: unknown,
  known: readonly string[],
  what = 'option',
): Record<string, unknown> {
  const given = object(method, field, value);
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) {
      refuse(method, `unknown ${what} ${quoted(key)}${suggest(key, known)}`);
    }
  }
  if (!isPlain(given) && !known.some((key) => Object.hasOwn(given, key))) {
    refuse(method, `${field} is an object of a class and has no ${what}: ${known.join(', ')}`);
  }
  const inherits = known.some((key) => key in given && !Object.hasOwn(given, key));
  return inherits ? ownProperties(given) : given;
}

/** The same, with nothing inherited. */
export function ownProperties<T>(value: { readonly [key: string]: T }): Record<string, T>;
export function ownProperties(value: object): Record<string, unknown>;
export function ownProperties(value: object): Record<string, unknown> {
  // Not by a spread: node-postgres hides the `password` of a pool's options from one.
  return Object.create(null, Object.getOwnPropertyDescriptors(value));
}

/** Whether it is an object of no class, of any realm. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Checks that it is an object with named members, of any class or realm. */
export function object(method: string, field: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isDate(value)) {
    refuseValue(method, field, 'an object', value);
  }
  return value as Record<string, unknown>;
}

/** A key as it can stand in a message: short, and with nothing that a log could not show. */
export function quoted(key: string): string {
  return inLine(JSON.stringify(clip(key, LONGEST_KEY_SHOWN)));
}
