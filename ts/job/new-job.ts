/** A job to be added: its options, checked, and made into JSON text. */

import { INT4_MAX, INT4_MIN, integer, name, time } from '../checks/checks.js';
import { argument, type Given } from '../checks/given.js';
import { optionsByPlace, placesOf } from '../checks/options.js';
import { delay, factor } from '../checks/retry.js';
import { stringifyPayload } from '../payload/stringify.js';
import type { JobOptionsOf } from './types.js';

/** A job to be added. */
export interface ParsedJob {
  type: string;
  /** JSON text. */
  payload: string;
  /** The whole job as JSON text, as `NewJob` in `src/job/new_job.rs` reads it. */
  json: string;
}

/** An option of a job. */
interface Option {
  /** Its value if it is absent or `undefined`; `'none'`: it is left out. */
  otherwise: number | null | undefined | 'none';
  /** Checks a value, and gives its JSON text. */
  toJson(given: Given): string;
}

/**
 * The options of a job, in the order in which they are checked. The payload comes last: its `toJSON` is called once all
 * else is right.
 */
const OPTIONS: Record<keyof JobOptionsOf<{ type: unknown }, 'type'>, Option> = {
  job_type: { otherwise: undefined, toJson: (given) => JSON.stringify(name(given)) },
  max_attempts: { otherwise: 3, toJson: (given) => String(integer(given, 1, INT4_MAX)) },
  priority: { otherwise: 0, toJson: (given) => String(integer(given, INT4_MIN, INT4_MAX)) },
  run_at: { otherwise: null, toJson: orNull((given) => String(time(given))) },
  timeout_ms: {
    otherwise: null,
    toJson: orNull((given) => String(integer(given, 1, INT4_MAX))),
  },
  retry_delay_ms: { otherwise: 'none', toJson: orNull((given) => String(delay(given))) },
  retry_factor: { otherwise: 'none', toJson: orNull((given) => String(factor(given))) },
  retry_max_delay_ms: { otherwise: 'none', toJson: orNull((given) => String(delay(given))) },
  payload: { otherwise: undefined, toJson: ({ value, method }) => stringifyPayload(value, method) },
};

const PLACES = placesOf(Object.keys(OPTIONS));

/** An option as it stands in the JSON. */
interface Entry extends Pick<Option, 'toJson'> {
  option: string;
  /** What stands before its value. */
  key: string;
  /** Its whole text if it is absent; `null` if it must not be. */
  absent: string | null;
}

const ENTRIES: Entry[] = Object.entries(OPTIONS).map(([option, { otherwise, toJson }], at) => {
  const key = `${at === 0 ? '{' : ','}"${option}":`;
  const absent = otherwise === 'none' ? '' : `${key}${otherwise}`;
  return { option, key, toJson, absent: otherwise === undefined ? null : absent };
});

function orNull(toJson: Option['toJson']): Option['toJson'] {
  return (given) => (given.value === null ? 'null' : toJson(given));
}

/** Checks the argument of `addJob`, and turns it into JSON text. */
export function parseJob(method: string, job: unknown): ParsedJob {
  const values = optionsByPlace(argument(method, 'job', job), PLACES);
  let json = '';
  let text = '';
  for (let at = 0; at < ENTRIES.length; at++) {
    const { option, key, toJson, absent } = ENTRIES[at] as Entry;
    const value = values[at];
    if (value === undefined && absent !== null) {
      json += absent;
      continue;
    }
    text = toJson(argument(method, option, value));
    json += key + text;
  }
  return { type: values[0] as string, payload: text, json: `${json}}` };
}
