/** The checks of single values. Each gives the value, with its type, or throws the error that the value leads to. */

import { hasAtMost, isStorable } from '../basics/text.js';
import { type Given, numberOrKind, refuse, refuseValue } from './given.js';
import { isDate, kindOf, timeOf } from './kind.js';
import { suggest } from './spelling.js';

/** The range of an `integer` of Postgres. Its end is the longest time of a timer of Node.js too. */
export const INT4_MIN = -2_147_483_648;
export const INT4_MAX = 2_147_483_647;

/** The width of the `varchar` columns, in characters. */
export const MAX_NAME = 255;

/** Checks a string of any characters. */
export function string(given: Given): string {
  return typeof given.value === 'string' ? given.value : refuseValue(given, 'a string');
}

/** Checks a string that Postgres can store. */
export function text(given: Given): string {
  const value = string(given);
  if (isStorable(value)) return value;
  refuse(given, `${given.name} holds \\u0000 or a lone surrogate, which Postgres cannot store`);
}

/** Checks text that fits a `varchar(255)` column: 1 to 255 characters. */
export function name(given: Given): string {
  const { value } = given;
  const rule = `a string of 1 to ${MAX_NAME} characters`;
  if (typeof value !== 'string') refuseValue(given, rule);
  if (value === '') refuseValue(given, rule, 'an empty string');
  if (!hasAtMost(MAX_NAME, value)) refuseValue(given, rule, 'a longer one');
  return text(given);
}

/** Checks that a string is one of these words. */
export function oneOf<Word extends string>(
  given: Given,
  words: readonly Word[],
  rule = `one of ${words.join(', ')}`,
): Word {
  const word = words.find((each) => each === given.value);
  if (word !== undefined) return word;
  const meant = typeof given.value === 'string' ? suggest(given.value, words) : '';
  refuseValue(given, rule, `${kindOf(given.value)}${meant}`);
}

/** Checks an integer of `min` to `max`. */
export function integer(given: Given, min: number, max: number): number {
  const { value } = given;
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value;
  }
  refuseNumber(given, `an integer between ${min} and ${max}`);
}

/** Checks the same, where it may be written in decimal digits, as it is in environments and connection strings. */
export function digits(given: Given, min: number, max: number): number {
  const { value } = given;
  const isDigits = typeof value === 'string' && /^\d{1,15}$/.test(value);
  return integer(isDigits ? { ...given, value: Number(value) } : given, min, max);
}

/** Checks a number of `min` to `max`, fractions included. */
export function number(given: Given, min: number, max: number): number {
  const { value } = given;
  if (typeof value === 'number' && value >= min && value <= max) return value;
  refuseNumber(given, `a number between ${min} and ${max}`);
}

/** Shows the number: where a number is asked for, it is no secret. */
function refuseNumber(given: Given, rule: string): never {
  refuseValue(given, rule, numberOrKind(given.value));
}

/** Checks a boolean. */
export function boolean(given: Given): boolean {
  return typeof given.value === 'boolean' ? given.value : refuseValue(given, 'true or false');
}

/** Checks a function; `rule` says what it is for. */
export function callable(given: Given, rule = 'a function'): (...args: unknown[]) => unknown {
  if (isFunction(given.value)) return given.value;
  refuseValue(given, rule);
}

function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === 'function';
}

/** Checks a `Date` that Postgres has, and gives its epoch milliseconds. */
export function time(given: Given): number {
  const { value } = given;
  if (!isDate(value) || Number.isNaN(timeOf(value))) refuseValue(given, 'a valid Date');
  if (timeOf(value) < EARLIEST)
    refuse(given, `${given.name} must not be before 24 November 4714 BC`);
  return timeOf(value);
}

/** The first moment that `timestamptz` has. Its last one, in 294276, is later than that of `Date`. */
const EARLIEST = Date.UTC(-4713, 10, 24);

/** Longer than any use, and short enough that now minus them is in Postgres's calendar. */
const MAX_DAYS = 1_000_000;

/** Checks for how many days something is kept. Fractions are allowed. */
export function days(given: Given): number {
  return number(given, 0, MAX_DAYS);
}
