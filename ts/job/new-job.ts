/** A job to be added: its options, checked, and made into JSON text. */

import { argument } from '../checks/given.js';
import { optionsByPlace } from '../checks/options.js';
import type { Defaults } from './defaults.js';
import { ENTRIES, type Entry, PLACES } from './options.js';
import type { OnConflict } from './types.js';

/** A job to be added. */
export interface ParsedJob {
  type: string;
  /** JSON text. */
  payload: string;
  /** The whole job as JSON text, as `NewJob` in `src/job/new_job.rs` reads it. */
  json: string;
  /** Whether it has a key. */
  isKeyed: boolean;
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
  const isKeyed = typeof values[KEY] === 'string';
  return { type: values[0] as string, payload: text, json: `${json}}`, isKeyed };
}

const KEY = ENTRIES.findIndex(({ option }) => option === 'idempotency_key');

/** The job, with what to do if another holds its key. */
export function withConflict(
  job: ParsedJob,
  onConflict: OnConflict,
  maxWait: number | null,
): ParsedJob {
  const json = `${job.json.slice(0, -1)},"on_conflict":"${onConflict}","max_wait_ms":${maxWait}}`;
  return { ...job, json };
}
