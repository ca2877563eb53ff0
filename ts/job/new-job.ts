/** The options of a job, each once. */

import { INT4_MAX, INT4_MIN, integer, name, options, time } from '../checks/check.js';
import { stringifyPayload } from '../payload/stringify.js';
import type { JobOptionsOf } from './types.js';

/** A job to be added. */
export interface ParsedJob {
  type: string;
  /** JSON text. */
  payload: string;
  /** The whole job as JSON text, as `NewJob` in `src/store/columns.rs` reads it. */
  json: string;
}

/** Checks an option, and gives its JSON; `undefined` is what it is where it is absent. */
type Check = (method: string, option: string, value: unknown) => string;

const DEFAULT_MAX_ATTEMPTS = 3;
const DEFAULT_PRIORITY = 0;

/** In the order in which they are checked: a payload is asked for its JSON once all else is right. */
const CHECKS = {
  job_type: (method, option, value) => JSON.stringify(name(method, option, value)),
  max_attempts: (method, option, value = DEFAULT_MAX_ATTEMPTS) =>
    String(integer(method, option, value, 1, INT4_MAX)),
  priority: (method, option, value = DEFAULT_PRIORITY) =>
    String(integer(method, option, value, INT4_MIN, INT4_MAX)),
  run_at: (method, option, value = null) =>
    value === null ? 'null' : String(time(method, option, value)),
  timeout_ms: (method, option, value = null) =>
    value === null ? 'null' : String(integer(method, option, value, 1, INT4_MAX)),
  payload: (method, _, value) => stringifyPayload(value, method),
} satisfies Record<keyof JobOptionsOf<{ type: unknown }, 'type'>, Check>;

const ENTRIES: [string, Check][] = Object.entries(CHECKS);
const NAMES = Object.keys(CHECKS);

/** Checks what `addJob` is given, and turns it into JSON text. */
export function parseJob(method: string, job: unknown): ParsedJob {
  const given = options(method, 'job', job, NAMES);
  let json = '';
  let payload = '';
  for (const [option, check] of ENTRIES) {
    const text = check(method, option, given[option]);
    json += `${json === '' ? '{' : ','}"${option}":${text}`;
    if (option === 'payload') payload = text;
  }
  return { type: given.job_type as string, payload, json: `${json}}` };
}
