/** Jobs that are added together: checked, and made into JSON text part by part. */

import { argument, refuseArgument, refuseValue } from '../checks/given.js';
import { isPlain } from '../checks/kind.js';
import { TotalSize } from '../payload/size.js';
import type { Defaults } from './defaults.js';
import { type ParsedJob, parseJob } from './new-job.js';

/** An insert sends the payloads as one text. Postgres takes 1 GiB of text, and quoting can double it. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;
/** A part ends with this many jobs, or with this many UTF-16 units of payloads, whichever comes first. */
const PART = 1_000;
const PART_LENGTH = 2 ** 20;

/** Jobs to be added together. */
export interface ParsedJobs {
  count: number;
  /** A job is checked when its part is asked for. The parts before it may be on their way by then. */
  parts: Iterable<ParsedJob[]>;
}

/** Checks the argument of `addJobs`. The message of a fault names its job: `jobs[3]`. */
export function parseJobs(
  method: string,
  jobs: unknown,
  defaults: Defaults | null = null,
): ParsedJobs {
  if (!Array.isArray(jobs)) refuseValue(argument(method, 'jobs', jobs), 'an array');
  // The caller, or a payload's `toJSON`, may change the list and its jobs before all parts are made.
  const given = Array.from(jobs, copied);
  return { count: given.length, parts: partsOf(method, given, defaults) };
}

function copied(job: unknown): unknown {
  return typeof job === 'object' && job !== null && isPlain(job) ? { ...job } : job;
}

function* partsOf(
  method: string,
  jobs: unknown[],
  defaults: Defaults | null,
): Generator<ParsedJob[]> {
  const total = new TotalSize(MAX_TOTAL_BYTES);
  let part: ParsedJob[] = [];
  let length = 0;
  for (const [at, job] of jobs.entries()) {
    const parsed = parseJob(`${method}: jobs[${at}]`, job, defaults);
    if (total.add(parsed.payload)) {
      refuseArgument(
        method,
        `the payloads together must have at most ${MAX_TOTAL_BYTES} bytes of text, as Postgres writes them`,
      );
    }
    part.push(parsed);
    length += parsed.payload.length;
    if (part.length < PART && length < PART_LENGTH) continue;
    yield part;
    part = [];
    length = 0;
  }
  if (part.length > 0) yield part;
}
