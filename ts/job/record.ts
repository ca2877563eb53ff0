/** A job as the database describes it, made into a record. */

import type { JobRow } from './types.js';

type Row = JobRow<Record<string, unknown>, string>;

/** A record as the database describes it: its times are milliseconds since the Unix epoch. */
type RawRecord = {
  [Column in keyof Row]: Row[Column] extends Date
    ? RawTime
    : Row[Column] extends Date | null
      ? RawTime | null
      : Row[Column];
};

/** JSON has no numbers for Postgres's infinities. */
type RawTime = number | 'Infinity' | '-Infinity';

/** The furthest that a `Date` reaches, either way (ECMA-262, "Time Values and Time Range"). */
const MAX_TIME = 8.64e15;

/** Makes a `Date` of a time. Postgres's times go further than a `Date`: those become the last that a `Date` has. */
export function toDate(time: RawTime): Date {
  return new Date(Math.min(Math.max(Number(time), -MAX_TIME), MAX_TIME));
}

const toDateOrNull = (time: RawTime | null): Date | null => (time === null ? null : toDate(time));

/** The column has a window's milliseconds as digits. */
function toHold(hold: Row['idempotency_hold']): Row['idempotency_hold'] {
  return hold !== null && /^\d+$/.test(String(hold)) ? Number(hold) : hold;
}

/** Reads a record. */
export function readRecord(json: string): Row {
  const raw = JSON.parse(json) as RawRecord;
  return {
    ...raw,
    created_at: toDate(raw.created_at),
    updated_at: toDate(raw.updated_at),
    locked_at: toDateOrNull(raw.locked_at),
    started_at: toDateOrNull(raw.started_at),
    completed_at: toDateOrNull(raw.completed_at),
    next_attempt_at: toDateOrNull(raw.next_attempt_at),
    run_at: toDateOrNull(raw.run_at),
    cancel_requested_at: toDateOrNull(raw.cancel_requested_at),
    idempotency_hold: toHold(raw.idempotency_hold),
    // An update by hand may have written any JSON here.
    error_history: Array.isArray(raw.error_history) ? raw.error_history : [],
  };
}
