/** The options that jobs of a type have where `addJob` leaves them out: `defaults` of `initJobQueue`. */

import { quoted } from '../basics/text.js';
import { name as jobType } from '../checks/checks.js';
import { refuseValue, setting } from '../checks/given.js';
import { isPlain } from '../checks/kind.js';
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
  idempotency_key: true,
} satisfies Record<Exclude<(typeof NAMES)[number], keyof DefaultOptions>, true>);
const DEFAULTED = NAMES.filter((option) => !OWN.includes(option));

/** Checks `defaults`; `null`: there are none. Throws `INVALID_CONFIG`. */
export function parseDefaults(given: unknown): Defaults | null {
  if (given === undefined || given === null) return null;
  const options = setting('defaults', given);
  const members = object(options);
  if (!isPlain(members))
    refuseValue(options, 'an object with options by job type', 'an instance of a class');
  const byType = Object.entries(ownProperties(members));
  const said = byType.filter(([, defaults]) => defaults !== undefined);
  return new Map(said.map(([type, defaults]) => [type, parseType(type, defaults)]));
}

function parseType(type: string, given: unknown): (string | undefined)[] {
  jobType(setting('a job type in defaults', type));
  const name = `defaults[${quoted(type)}]`;
  const values: Options = options(setting(name, given), DEFAULTED);
  return ENTRIES.map(({ option, key, toJson }) => {
    const value = DEFAULTED.includes(option) ? values[option] : undefined;
    if (value === undefined) return undefined;
    return key + toJson(setting(`${name}.${option}`, value));
  });
}
