/** The checks of objects that carry named options. */

import { quoted } from '../basics/text.js';
import { type Given, refuse, refuseValue } from './given.js';
import { isDate, isPlain } from './kind.js';
import { suggest } from './spelling.js';

/** Options by their names. */
export type Options = Readonly<Record<string, unknown>>;

/** Checks an object with named members, of any class or realm. */
export function object(given: Given): Options {
  const { value } = given;
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isDate(value)) {
    refuseValue(given, 'an object');
  }
  return value as Options;
}

/**
 * Checks the options of a method: an object that has these and no others. Only its own properties count, not what
 * some library has set on `Object.prototype`. An instance of a class that has none of them is refused: it is
 * something else that got here, a database client perhaps. The configuration may be an instance of a class, and have
 * no options of its own: the environment then has all of them.
 */
export function options(given: Given, known: readonly string[], what = 'option'): Options {
  const members = object(given);
  refuseUnknown(given, Object.keys(members), known, what);
  if (!isPlain(members) && !known.some((key) => Object.hasOwn(members, key))) {
    refuseForeign(given, known, what);
  }
  const inherits = known.some((key) => key in members && !Object.hasOwn(members, key));
  return inherits ? ownProperties(members) : members;
}

/**
 * The same for an object of one call of many, in less time: gives the values of its options by their places among the
 * known ones. An option that is not enumerable does not count.
 */
export function optionsByPlace(given: Given, { names, places }: Places): unknown[] {
  const members = object(given);
  const values: unknown[] = new Array(names.length);
  const keys = Object.keys(members);
  for (const key of keys) {
    const place = places.get(key);
    if (place === undefined) refuseUnknown(given, keys, names);
    else values[place] = members[key];
  }
  if (keys.length === 0 && !isPlain(members)) refuseForeign(given, names, 'option');
  return values;
}

/** The names of options, and the place of each. */
export interface Places {
  readonly names: readonly string[];
  readonly places: ReadonlyMap<string, number>;
}

export function placesOf(names: readonly string[]): Places {
  return { names, places: new Map(names.map((name, at) => [name, at])) };
}

function refuseForeign(given: Given, known: readonly string[], what: string): never {
  refuseValue(
    given,
    `an object with ${what}s (${known.join(', ')})`,
    'an instance of a class that has none of them',
  );
}

/** Refuses the first of the options of an object that is not known, and says which was probably meant. */
export function refuseUnknown(
  given: Given,
  options: readonly string[],
  known: readonly string[],
  what = 'option',
): void {
  const unknown = options.find((option) => !known.includes(option));
  if (unknown === undefined) return;
  // A method has one object of options, the configuration has several.
  const holder = given.method === '' ? `${given.name}: ` : '';
  refuse(given, `${holder}unknown ${what} ${quoted(unknown)}${suggest(unknown, known)}`);
}

/** The same object, with nothing inherited. */
export function ownProperties<T>(value: { readonly [key: string]: T }): Record<string, T>;
export function ownProperties(value: object): Record<string, unknown>;
export function ownProperties(value: object): Record<string, unknown> {
  // Not by a spread: node-postgres hides the `password` of a pool's options from one.
  return Object.create(null, Object.getOwnPropertyDescriptors(value));
}
