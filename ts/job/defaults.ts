/** The options that jobs of a type have where `addJob` leaves them out: `defaults` of `initJobQueue`. */

import { setting } from '../checks/given.js';
import { type Options, object, options, ownProperties } from '../checks/options.js';
import { ENTRIES, NAMES } from './options.js';
import type { DefaultOptions } from './types.js';

/** By job type, and by the places of the options: the text that stands for the option in a job's JSON. */
export type Defaults = ReadonlyMap<unknown, readonly (string | undefined)[]>;

/** The options that each job says itself. */
const OWN = Object.keys({
  job_type: true,
  payload: true,
  run_at: true,
} satisfies Record<Exclude<(typeof NAMES)[number], keyof DefaultOptions>, true>);
const DEFAULTED = NAMES.filter((option) => !OWN.includes(option));

/** Checks `defaults`; `null`: there are none. Throws `INVALID_CONFIG`. */
export function parseDefaults(given: unknown): Defaults | null {
  if (given === undefined || given === null) return null;
  const byType = Object.entries(ownProperties(object(setting('defaults', given))));
  const said = byType.filter(([, defaults]) => defaults !== undefined);
  return new Map(said.map(([type, defaults]) => [type, parseType(type, defaults)]));
}

function parseType(type: string, given: unknown): (string | undefined)[] {
  const name = `defaults.${type}`;
  const values: Options = options(setting(name, given), DEFAULTED);
  return ENTRIES.map(({ option, key, toJson }) => {
    const value = DEFAULTED.includes(option) ? values[option] : undefined;
    if (value === undefined) return undefined;
    return key + toJson(setting(`${name}.${option}`, value));
  });
}
