// A job, as `addJob` takes it and as `getJob` gives it.

import type { Storable, Stored } from '../payload/types.js';

/** The status of a job. */
export type JobStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';

/** The names of the jobs in a payload map. */
export type JobType<PayloadMap> = keyof PayloadMap & string;

/** A job's id: a number, or the same in decimal digits, as ids arrive from URLs and JSON bodies. */
export type JobId = number | string;

/** A job to be added, whose type is one of several. The payload must be that of its type. */
export type JobOptions<PayloadMap, T extends JobType<PayloadMap> = JobType<PayloadMap>> = {
  [Each in T]: JobOptionsOf<PayloadMap, Each>;
}[T];

/** The options of a job that its row keeps, under the same names. */
interface KeptOptions {
  /** How often the job is tried before it stays `failed`: 1 to 2,147,483,647. Default 3. */
  max_attempts: number;
  /** Higher runs first: -2,147,483,648 to 2,147,483,647. Default 0. */
  priority: number;
  /** The earliest time to run. `null` or absent: now, by the database's clock. Not before 24 November 4714 BC. */
  run_at: Date | null;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. After that its signal aborts and the attempt
   * has failed. `null` or absent: the processor's `defaultTimeout`.
   */
  timeout_ms: number | null;
  /**
   * How long after its first failed attempt the job is tried again, in milliseconds: 0 to 2,147,483,647. `null` or
   * absent: as the job's definition or its processor says (see `RetryPolicy`).
   */
  retry_delay_ms: number | null;
  /** The factor by which that delay grows with each attempt: 1 to 1,000. `null` or absent: the same. */
  retry_factor: number | null;
  /** The longest delay, in milliseconds: 0 to 2,147,483,647. `null` or absent: the same. */
  retry_max_delay_ms: number | null;
  /**
   * The type of the job that is added when this one has failed for good, by the same statement: 1 to 255 characters. Its
   * payload is a `DeadLetter`, and its priority is this job's. It has the database's defaults for all else, and no
   * dead letter of its own. `null` or absent: none is added.
   */
  dead_letter_job_type: string | null;
  /**
   * Of the jobs of this type, one at a time holds this key: 1 to 255 characters. To add another is to find the one that
   * is there: see `onConflict`. `null` or absent: the job is always added.
   */
  idempotency_key: string | null;
}

/**
 * How long a job holds its key: `'queued'` until a worker first claims it (a job that is handed back before its handler
 * began takes the key again, if it is free), `'unsettled'` until it is completed, cancelled or failed for good, `'row'` as
 * long as its row exists, or this number of milliseconds from when it was added, whatever becomes of the job and its row:
 * 1 to 3,155,760,000,000.
 */
export type IdempotencyHold = 'queued' | 'unsettled' | 'row' | number;

/** The payload of the job that `dead_letter_job_type` adds. The names are those of dataqueue. */
export interface DeadLetter<Payload = unknown> {
  originalJob: {
    id: number;
    jobType: string;
    attempts: number;
    maxAttempts: number;
  };
  originalPayload: Payload;
  failure: {
    /** The message of the last failed attempt. */
    message: string | null;
    reason: FailureReason | null;
    /** ISO 8601, UTC, by the database's clock. */
    failedAt: string | null;
  };
}

/**
 * Why an attempt failed: the handler threw, the job's time or its route's was up, its worker was lost, no handler was
 * registered (with `unknownTypes: 'fail'`), or Postgres refused to store how the run ended or to give the payload.
 */
export type FailureReason = 'error' | 'timeout' | 'worker_lost' | 'no_handler' | 'refused';

/** The same, as `addJob` takes them: each may be left out. */
type GivenOptions = { [Option in keyof KeptOptions]?: KeptOptions[Option] | undefined } & {
  /** `null` or absent: `'unsettled'`. Without a key it has no meaning. */
  idempotency_hold?: IdempotencyHold | null | undefined;
};

/** What `addJob` leaves out, for all jobs of a type. */
export type DefaultOptions = Omit<GivenOptions, 'run_at' | 'idempotency_key'>;

/**
 * What `addJob` does if another job holds the key.
 *
 * - `'keep'`: nothing; the job is not added.
 * - `'replace'`: the holder gets the new job's payload and options, but for the key and its hold. If it had failed, it is
 *   pending again, without attempts.
 * - `'postpone'`: the holder gets the new job's `run_at`; if it waits for its next attempt, it does so until then.
 * - `'supersede'`: the holder is cancelled, as by `cancelJob`, and the new job is added and holds the key. A holder that
 *   runs may still do so beside it, until its worker hears of the request and its `cancelGrace` is over.
 * - `'reject'`: the promise rejects with `DUPLICATE_JOB`, whose `jobId` is the holder's.
 *
 * `'replace'` and `'postpone'` keep a holder that runs, or that has settled and still holds its key.
 */
export type OnConflict = 'keep' | 'replace' | 'postpone' | 'supersede' | 'reject';

/** What has become of a job that was to be added. */
export interface UpsertedJob {
  /** The job that holds the key. */
  id: number;
  /** What was done: the job was added, or the holder was kept, replaced, postponed or superseded. */
  outcome: 'added' | 'kept' | 'replaced' | 'postponed' | 'superseded';
  /** The status of that job; `null`: it is gone, but its key is held for some time. */
  status: JobStatus | null;
}

/** A job to be added, of one type. */
export interface JobOptionsOf<PayloadMap, T extends JobType<PayloadMap>> extends GivenOptions {
  /** The name under which its handler is registered: 1 to 255 characters. */
  job_type: T;
  /**
   * Any JSON value. Handlers and records get `JSON.parse(JSON.stringify(payload))`, and its type: a `Date` becomes a
   * `string`. Functions, methods, bigints, symbols and objects made of them, for example a `Map`, do not compile. The
   * keys of objects come in the order of Postgres's `jsonb`, so a signature over the text of the payload does not hold
   * for the payload that the handler gets.
   *
   * The text of the payload may have 64 MiB as Postgres writes it: with a space after each comma and colon, and numbers
   * without exponents, so that `1e308` has 309 digits. An array or object may have 8,388,608 members.
   */
  payload: Storable<PayloadMap>[T];
}

/** A job to be added, of any type. The payload must be that of its type. */
export type AnyJobOptions<PayloadMap> = JobOptions<PayloadMap>;

/** An entry of `error_history`: a failed attempt, or a lost worker. */
export interface JobErrorEntry {
  /** The error's message, up to 10,000 characters. */
  message: string;
  /** ISO 8601, UTC, by the database's clock. */
  timestamp: string;
  /** The error's class, up to 255 characters. */
  name?: string;
  /** The error's stack and its causes, up to 10,000 characters. */
  stack?: string;
  /** Which attempt it was, from 1. */
  attempt?: number;
}

/** A row of `job_queue`. Fields have the names of the columns. Comparing `job_type` narrows `payload`. */
export type JobRecord<
  PayloadMap,
  T extends JobType<PayloadMap> = JobType<PayloadMap>,
> = T extends unknown ? JobRow<PayloadMap, T> : never;

/** A row of `job_queue` of one job type. */
export interface JobRow<PayloadMap, T extends JobType<PayloadMap>> extends KeptOptions {
  /** How long it holds its key; `null`: `'unsettled'`. `'released'`: another job has superseded it. */
  idempotency_hold: IdempotencyHold | 'released' | null;
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
  /**
   * When the job's run began that is under way, or that was its last: when a worker claimed the job. `null` while the job
   * is pending.
   */
  started_at: Date | null;
  /** When the job was completed; `null` if it is not. */
  completed_at: Date | null;
  /** How many attempts have begun. */
  attempts: number;
  /**
   * For a `failed` job: when it is tried again, or `null` if it is not tried again. For a `pending` job: a time before
   * which it does not run, or `null`. For other jobs it has no meaning.
   */
  next_attempt_at: Date | null;
  /** How often its handler has put it off, by `snooze`. */
  snoozes: number;
  /** When `cancelJob` was called while the job ran; `null` if it was not. */
  cancel_requested_at: Date | null;
  /** Why the last attempt that failed did so; `null` if none has, or the job is completed. */
  failure_reason: FailureReason | null;
  /**
   * Why the job does not go on: its type has no handler, or Postgres refuses to let it be claimed, settled or brought
   * back. `null` otherwise.
   */
  pending_reason: string | null;
  /** Oldest first; the last 100 are kept. */
  error_history: JobErrorEntry[];
}
