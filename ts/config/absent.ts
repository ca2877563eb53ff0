/**
 * When a setting of the configuration counts as not given. Arguments are stricter: there, only `undefined` does,
 * because passing over a `null` client or filter would not do what the caller meant.
 */

import type { Options } from '../checks/options.js';

/**
 * Whether a setting is left to what comes after it: the environment, then the default. Empty strings and `false` are,
 * as in node-postgres: an unset variable arrives as an empty string through a shell or a template.
 */
export function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === false;
}

/** The names of the options that ask for something: those that are neither `undefined` nor `null`. */
export function givenOptions(options: Options): string[] {
  return Object.keys(options).filter((name) => (options[name] ?? null) !== null);
}
