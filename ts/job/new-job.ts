/** A job to be added: its options, checked, and made into JSON text. */

import { argument } from '../checks/given.js';
import { optionsByPlace } from '../checks/options.js';
import type { Defaults } from './defaults.js';
import { ENTRIES, type Entry, PLACES } from './options.js';

/** A job to be added. */
export interface ParsedJob {
  type: string;
  /** JSON text. */
  payload: string;
  /** The whole job as JSON text, as `NewJob` in `src/job/new_job.rs` reads it. */
  json: string;
}

/** Checks the argument of `addJob`, completes it, and turns it into JSON text. */
export function parseJob(
  method: string,
  job: unknown,
  defaults: Defaults | null = null,
): ParsedJob {
  const values = optionsByPlace(argument(method, 'job', job), PLACES);
  const ofType = defaults?.get(values[0]);
  let json = '';
  let text = '';
  for (let at = 0; at < ENTRIES.length; at++) {
    const { option, key, toJson, absent } = ENTRIES[at] as Entry;
    const value = values[at];
    if (value === undefined && absent !== null) {
      json += ofType?.[at] ?? absent;
      continue;
    }
    text = toJson(argument(method, option, value));
    json += key + text;
  }
  return { type: values[0] as string, payload: text, json: `${json}}` };
}
