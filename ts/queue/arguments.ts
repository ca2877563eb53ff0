/**
 * The arguments of the queue's methods, checked and completed. A fault is an `INVALID_ARGUMENT` that names the method
 * and the argument. Later code checks nothing again.
 */

import { days, INT4_MAX, INT4_MIN, integer, name, number, oneOf, time } from '../checks/checks.js';
import { argument, refuseArgument, refuseValue } from '../checks/given.js';
import { kindOf } from '../checks/kind.js';
import { type Options, options } from '../checks/options.js';
import type { Client } from '../clients/client.js';
import { CLIENTS, recognise } from '../clients/recognise.js';
import { type ParsedJob, withConflict } from '../job/new-job.js';
import { MAX_WINDOW } from '../job/options.js';
import type { JobStatus, OnConflict } from '../job/types.js';
import type { AddOptions, CancelFilters } from './types.js';

/** Which jobs to cancel; `null` does not restrict. */
export interface ParsedFilters {
  jobType: string | null;
  priority: number | null;
  /** Epoch milliseconds. */
  runAt: number | null;
}

/** The part of a listing that a method gives. */
export interface Page {
  limit: number;
  offset: number;
}

const FILTERS = Object.keys({
  job_type: true,
  priority: true,
  run_at: true,
} satisfies Record<keyof CancelFilters<unknown>, true>);
const STATUSES = Object.keys({
  pending: true,
  processing: true,
  completed: true,
  failed: true,
  cancelled: true,
} satisfies Record<JobStatus, true>) as JobStatus[];

const DEFAULT_LIMIT = 100;
const DEFAULT_MINUTES = 10;
export const DEFAULT_DAYS = 30;
/** Longer than any use, and short enough that now minus them is in Postgres's calendar. */
const MAX_MINUTES = 1_000_000_000;

/** The arguments of a method: the database client, if the first is one, and the rest. */
export interface SplitArguments {
  client: Client | null;
  rest: readonly unknown[];
}

/**
 * Tells the two forms of a method apart: `method(...rest)` and `method(client, ...rest)`. If there are too many
 * arguments, the first may be a client that is not supported, or is missing: taken for the short form,
 * `getAllJobs(undefined, 10, 0)` would list from the tenth job on.
 */
export function splitArguments(
  method: string,
  args: readonly unknown[],
  most: number,
): SplitArguments {
  const [first, ...others] = args;
  const client = recognise(first);
  const rest = client === null ? args : others;
  if (client === null && typeof first === 'function') {
    refuseArgument(method, `the first argument is a function, which is not ${CLIENTS}`);
  }
  if (rest.length <= most) return { client, rest };
  if (client !== null) {
    refuseArgument(
      method,
      `takes at most ${most} arguments after the database client, got ${rest.length}`,
    );
  }
  if (recognise(rest.at(-1)) !== null) {
    refuseArgument(method, 'a database client must be the first argument');
  }
  refuseArgument(
    method,
    `takes at most ${most} arguments, or ${most + 1} if the first is a database client, got ${args.length}. ` +
      `The first is ${kindOf(first)}, which is not ${CLIENTS}`,
  );
}

/** Checks `{ db }`. */
export function parseDatabaseOptions(method: string, given: unknown): Client | null {
  if (given === undefined) return null;
  return parseDatabase(method, optionsOf(method, given, ['db']).db);
}

const ON_CONFLICT = Object.keys({
  keep: true,
  replace: true,
  postpone: true,
  supersede: true,
  reject: true,
} satisfies Record<OnConflict, true>) as OnConflict[];
const ADD_OPTIONS = Object.keys({
  db: true,
  onConflict: true,
  maxWait: true,
} satisfies Record<keyof AddOptions, true>);

/** Checks the options of a job that is added, and gives the job with them. */
export function parseAddOptions(
  method: string,
  given: unknown,
  job: ParsedJob,
): { client: Client | null; job: ParsedJob } {
  if (given === undefined) return { client: null, job };
  const { db, onConflict, maxWait } = optionsOf(method, given, ADD_OPTIONS);
  const client = parseDatabase(method, db);
  if (onConflict === undefined && maxWait === undefined) return { client, job };
  const action =
    onConflict === undefined
      ? 'keep'
      : oneOf(argument(method, 'onConflict', onConflict), ON_CONFLICT);
  if (maxWait !== undefined) {
    integer(argument(method, 'maxWait', maxWait), 0, MAX_WINDOW);
    if (action !== 'replace' && action !== 'postpone') {
      refuseArgument(method, "maxWait needs onConflict: 'replace' or 'postpone'");
    }
  }
  if (!job.isKeyed) refuseArgument(method, 'onConflict needs a job with an idempotency_key');
  return { client, job: withConflict(job, action, (maxWait as number | undefined) ?? null) };
}

function optionsOf(method: string, given: unknown, names: readonly string[]): Options {
  if (recognise(given) !== null) {
    refuseArgument(method, 'a database client must be the first argument, or be given as { db }');
  }
  return options(argument(method, 'options', given), names);
}

/** `null` is refused: the caller meant a transaction that is missing. */
function parseDatabase(method: string, db: unknown): Client | null {
  if (db === undefined) return null;
  return recognise(db) ?? refuseValue(argument(method, 'db', db), CLIENTS);
}

/** Checks a job's id: a positive integer, or the digits of one as URLs and JSON bodies carry it. */
export function parseJobId(method: string, value: unknown): number {
  const id = typeof value === 'string' && /^[1-9]\d{0,15}$/.test(value) ? Number(value) : value;
  if (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) return id;
  refuseValue(
    argument(method, 'id', value),
    'a positive integer, or a string of its decimal digits',
  );
}

/** Checks a status. */
export function parseStatus(method: string, value: unknown): JobStatus {
  return oneOf(argument(method, 'status', value), STATUSES);
}

/** Checks the part of a listing. */
export function parsePage(
  method: string,
  limit: unknown = DEFAULT_LIMIT,
  offset: unknown = 0,
): Page {
  return {
    limit: integer(argument(method, 'limit', limit), 0, INT4_MAX),
    offset: integer(argument(method, 'offset', offset), 0, INT4_MAX),
  };
}

/**
 * Checks which jobs to cancel. A filter that is absent or `undefined` does not restrict. `null` and unknown filters
 * are refused: to ignore one would cancel more than was meant.
 */
export function parseFilters(method: string, filters: unknown = {}): ParsedFilters {
  const given = options(argument(method, 'filters', filters), FILTERS, 'filter');
  const { job_type, priority, run_at } = given;
  return {
    jobType: job_type === undefined ? null : name(argument(method, 'job_type', job_type)),
    priority:
      priority === undefined
        ? null
        : integer(argument(method, 'priority', priority), INT4_MIN, INT4_MAX),
    runAt: run_at === undefined ? null : time(argument(method, 'run_at', run_at)),
  };
}

/** Checks after how many minutes a job counts as stuck. Fractions are allowed. */
export function parseMinutes(method: string, value: unknown = DEFAULT_MINUTES): number {
  return number(argument(method, 'maxProcessingTimeMinutes', value), 0, MAX_MINUTES);
}

/** Checks for how many days completed jobs are kept. Fractions are allowed. */
export function parseDays(method: string, value: unknown = DEFAULT_DAYS): number {
  return days(argument(method, 'daysToKeep', value));
}
