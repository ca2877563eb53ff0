/**
 * What the queue's methods make of their arguments: complete values, with defaults, or an
 * `INVALID_ARGUMENT` that names the method and the field. Later code checks nothing again.
 */

import type { Client } from '../clients/client.js';
import { CLIENTS, recognise } from '../clients/recognise.js';
import { TotalSize } from '../payload/size.js';
import type { JobStatus } from '../types.js';
import {
  INT4_MAX,
  INT4_MIN,
  integer,
  isPlain,
  kindOf,
  name,
  number,
  options,
  refuse,
  refuseValue,
  time,
} from './check.js';
import { type ParsedJob, parseJob } from './job.js';
import { suggest } from './spelling.js';

/** Which jobs to cancel; `null` does not restrict. */
export interface ParsedFilters {
  jobType: string | null;
  priority: number | null;
  /** Epoch milliseconds. */
  runAt: number | null;
}

/** A part of a listing. */
export interface Page {
  limit: number;
  offset: number;
}

const FILTERS = ['job_type', 'priority', 'run_at'];
const STATUSES: readonly JobStatus[] = [
  'pending',
  'processing',
  'completed',
  'failed',
  'cancelled',
];

// An insert takes them as one text, which Postgres takes up to 1 GiB, and quoting may double.
const MAX_BATCH_SIZE = 256 * 1024 * 1024;
/** So many jobs, or so many UTF-16 units of payloads, are made, and cross to Rust, at a time. */
const PART = 1_000;
const PART_LENGTH = 2 ** 20;

const DEFAULT_LIMIT = 100;
const DEFAULT_MINUTES = 10;
const DEFAULT_DAYS = 30;
// Far beyond any use, and not so far that subtracting them from now leaves Postgres's calendar.
const MAX_MINUTES = 1_000_000_000;
const MAX_DAYS = 1_000_000;

/** Jobs to be added together. */
export interface ParsedJobs {
  count: number;
  /** Each job is checked when its part is asked for: the parts before may be on their way by then. */
  parts: Iterable<ParsedJob[]>;
}

/** Checks what `addJobs` is given. A fault is told with the place of its job: `jobs[3]`. */
export function parseJobs(method: string, jobs: unknown): ParsedJobs {
  if (!Array.isArray(jobs)) refuseValue(method, 'jobs', 'an array', jobs);
  // The caller, or a payload's `toJSON`, may change the list and what is in it before all parts are made.
  const given = Array.from(jobs, copied);
  return { count: given.length, parts: partsOf(method, given) };
}

function copied(job: unknown): unknown {
  return typeof job === 'object' && job !== null && isPlain(job) ? { ...job } : job;
}

function* partsOf(method: string, jobs: unknown[]): Generator<ParsedJob[]> {
  const total = new TotalSize(MAX_BATCH_SIZE);
  let part: ParsedJob[] = [];
  let length = 0;
  for (const [at, job] of jobs.entries()) {
    const parsed = parseJob(`${method}: jobs[${at}]`, job);
    if (total.add(parsed.payload)) {
      refuse(
        method,
        `the payloads together must have at most ${MAX_BATCH_SIZE} bytes of text, as Postgres writes them`,
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

/** Checks `{ db }`. `null` is refused: it is a transaction that was meant and is missing. */
export function parseDatabaseOptions(method: string, given: unknown): Client | null {
  if (given === undefined) return null;
  if (recognise(given) !== null) {
    refuse(method, 'a database client comes first, or is given as { db }');
  }
  const { db } = options(method, 'options', given, ['db']);
  if (db === undefined) return null;
  return recognise(db) ?? refuseValue(method, 'db', CLIENTS, db);
}

/** Checks a job's id: a positive integer, or the digits of one as URLs and JSON bodies carry it. */
export function parseJobId(method: string, value: unknown): number {
  const id = typeof value === 'string' && /^[1-9]\d{0,15}$/.test(value) ? Number(value) : value;
  if (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) return id;
  refuseValue(method, 'id', 'a positive integer, or a string of its decimal digits', value);
}

/** Checks a status. */
export function parseStatus(method: string, value: unknown): JobStatus {
  const status = STATUSES.find((each) => each === value);
  if (status !== undefined) return status;
  const meant = typeof value === 'string' ? suggest(value, STATUSES) : '';
  refuse(method, `status must be one of ${STATUSES.join(', ')}, got ${kindOf(value)}${meant}`);
}

/** Checks which part of a listing is asked for. */
export function parsePage(
  method: string,
  limit: unknown = DEFAULT_LIMIT,
  offset: unknown = 0,
): Page {
  return {
    limit: integer(method, 'limit', limit, 0, INT4_MAX),
    offset: integer(method, 'offset', offset, 0, INT4_MAX),
  };
}

/**
 * Checks which jobs to cancel. An absent or `undefined` filter does not restrict. `null` and unknown
 * filters are refused: to ignore one would cancel more than was meant.
 */
export function parseFilters(method: string, filters: unknown = {}): ParsedFilters {
  const { job_type, priority, run_at } = options(method, 'filters', filters, FILTERS, 'filter');
  return {
    jobType: job_type === undefined ? null : name(method, 'job_type', job_type),
    priority:
      priority === undefined ? null : integer(method, 'priority', priority, INT4_MIN, INT4_MAX),
    runAt: run_at === undefined ? null : time(method, 'run_at', run_at),
  };
}

/** Checks after how many minutes a job counts as stuck. Fractions are allowed. */
export function parseMinutes(method: string, value: unknown = DEFAULT_MINUTES): number {
  return number(method, 'maxProcessingTimeMinutes', value, 0, MAX_MINUTES);
}

/** Checks for how many days finished jobs are kept. Fractions are allowed. */
export function parseDays(method: string, value: unknown = DEFAULT_DAYS): number {
  return number(method, 'daysToKeep', value, 0, MAX_DAYS);
}
