/** The kinds of values, in the words of messages. */

import { types } from 'node:util';

/** `null`, `a string`, `an array`, `an invalid Date`: the kind alone, since the value may be long, or a secret. */
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

/** Epoch milliseconds, read from the `Date` itself: a subclass may have another `getTime`. */
export function timeOf(date: Date): number {
  return Date.prototype.getTime.call(date);
}

/** Whether the object is of no class, in any realm. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
