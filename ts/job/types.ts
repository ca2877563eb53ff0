// A job as it is added, and as it is read.

import type { Storable, Stored } from '../payload/types.js';

/** Where a job stands. */
export type JobStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';

/** The names of the jobs in a payload map. */
export type JobType<PayloadMap> = keyof PayloadMap & string;

/** A job's id: a number, or the same in decimal digits, as ids arrive from URLs and JSON bodies. */
export type JobId = number | string;

/** What `addJob` takes: of several types of job, each with the payload of its own. */
export type JobOptions<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = {
  [Each in T]: JobOptionsOf<PayloadMap, Each>;
}[T];

/** What `addJob` takes of one type of job. */
export interface JobOptionsOf<PayloadMap, T extends JobType<PayloadMap>> {
  /** 1 to 255 characters. */
  job_type: T;
  /**
   * Any JSON value. It comes back as `JSON.parse(JSON.stringify(payload))` would, and so do its types: a `Date` is a
   * `string` to handlers and in records. Functions, methods, bigints, symbols and what is made of them, as a `Map`,
   * do not compile. Only the keys of objects come in another order, that of Postgres's `jsonb`: a signature over the
   * text of the payload does not hold for what the handler gets. As Postgres writes it, its text may have 64 MiB: with
   * a space after each comma and colon, and numbers without exponents, so that `1e308` has 309 digits. An array or
   * object may have 8,388,608 members.
   */
  payload: Storable<PayloadMap>[T];
  /** How often the job is tried before it stays `failed`: 1 to 2,147,483,647. Default 3. */
  max_attempts?: number | undefined;
  /** Higher runs first: -2,147,483,648 to 2,147,483,647. Default 0. */
  priority?: number | undefined;
  /** The earliest time to run. `null` or absent: now, by the database's clock. */
  run_at?: Date | null | undefined;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. Then its signal aborts and the attempt
   * has failed. `null` or absent: the processor's `defaultTimeout`.
   */
  timeout_ms?: number | null | undefined;
}

/** What `addJob` takes, of any type of job: each with the payload of its own type. */
export type AnyJobOptions<PayloadMap> = JobOptions<PayloadMap>;

/** One failed attempt, or one worker that was lost. */
export interface JobErrorEntry {
  message: string;
  /** ISO 8601, UTC, by the database's clock. */
  timestamp: string;
  /** The error's class. */
  name?: string;
  stack?: string;
  /** Which attempt it was, from 1. */
  attempt?: number;
}

/**
 * A row of `job_queue`. Fields are named as the columns are. Comparing `job_type` narrows `payload`.
 */
export type JobRecord<
  PayloadMap,
  T extends JobType<PayloadMap> = JobType<PayloadMap>,
> = T extends unknown ? JobRow<PayloadMap, T> : never;

/** A row of `job_queue` of one job type. */
export interface JobRow<PayloadMap, T extends JobType<PayloadMap>> {
  id: number;
  job_type: T;
  payload: Stored<PayloadMap>[T];
  status: JobStatus;
  created_at: Date;
  updated_at: Date;
  /** When the job was last claimed; `null` if it never was, or was put back. */
  locked_at: Date | null;
  /** The `workerId` of the processor that last claimed the job. */
  locked_by: string | null;
  /** How many attempts were begun. */
  attempts: number;
  max_attempts: number;
  /**
   * Of a `failed` job: when it is tried again, or `null` if it was given up. Of a `pending` one: if it is set, the job is
   * not run before. Of others it says nothing.
   */
  next_attempt_at: Date | null;
  priority: number;
  run_at: Date | null;
  /** How long a run may take, in milliseconds; `null` leaves it to the processor. */
  timeout_ms: number | null;
  /** When `cancelJob` was called while the job ran; `null` if it was not. */
  cancel_requested_at: Date | null;
  /**
   * Why the job does not go on: no handler was registered for its type, or Postgres refuses to let it be claimed,
   * settled or brought back. `null` otherwise.
   */
  pending_reason: string | null;
  /** Oldest first; the last 100 are kept. */
  error_history: JobErrorEntry[];
}
