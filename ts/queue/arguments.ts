/**
 * What the queue's methods make of their arguments: complete values, with defaults, or an
 * `INVALID_ARGUMENT` that names the method and the field. Later code checks nothing again.
 */

import {
  INT4_MAX,
  INT4_MIN,
  integer,
  kindOf,
  name,
  number,
  options,
  refuse,
  refuseValue,
  time,
} from '../checks/check.js';
import { suggest } from '../checks/spelling.js';
import type { Client } from '../clients/client.js';
import { CLIENTS, recognise } from '../clients/recognise.js';
import type { JobStatus } from '../job/types.js';

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

const DEFAULT_LIMIT = 100;
const DEFAULT_MINUTES = 10;
const DEFAULT_DAYS = 30;
// Far beyond any use, and not so far that subtracting them from now leaves Postgres's calendar.
const MAX_MINUTES = 1_000_000_000;
const MAX_DAYS = 1_000_000;

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
