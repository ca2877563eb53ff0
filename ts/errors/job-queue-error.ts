import { brandedBy } from './brand.js';

/** The code of an error: a string to compare with, which does not change between releases. */
export type JobQueueErrorCode =
  | 'INVALID_CONFIG'
  | 'INVALID_ARGUMENT'
  | 'INVALID_PAYLOAD'
  | 'NOT_MIGRATED'
  | 'CONNECTION_FAILED'
  | 'JOB_RUNNING'
  | 'DUPLICATE_JOB'
  | 'LEASE_LOST'
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'DEADLINE'
  | 'NO_HANDLER'
  | 'CLOSED'
  | 'ADDON_UNAVAILABLE'
  | 'DATABASE_ERROR';

const brand = Symbol.for('pg-bg-job-queue.JobQueueError');

/**
 * The class of every error that this package throws or rejects with. An error never holds a payload, a password or a
 * connection string.
 *
 * `instanceof` works across copies of this package: a bundler may put several into one process.
 */
export class JobQueueError extends Error {
  override readonly name = 'JobQueueError';

  /** The code to compare with. The message may change between releases, the code does not. */
  readonly code: JobQueueErrorCode;

  /** Postgres's five-character `SQLSTATE`, if the server refused a statement. */
  declare readonly sqlState?: string;

  /** The job that holds the key, of a `DUPLICATE_JOB`. */
  declare readonly jobId?: number;

  constructor(
    code: JobQueueErrorCode,
    message: string,
    details: { sqlState?: string | undefined; jobId?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.sqlState !== undefined) this.sqlState = details.sqlState;
    if (details.jobId !== undefined) this.jobId = details.jobId;
    Object.defineProperty(this, brand, { value: true });
  }
}

brandedBy(brand, JobQueueError);
