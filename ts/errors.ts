/** What went wrong, as a stable string to compare with. */
export type JobQueueErrorCode =
  | 'INVALID_CONFIG'
  | 'INVALID_ARGUMENT'
  | 'INVALID_PAYLOAD'
  | 'NOT_MIGRATED'
  | 'CONNECTION_FAILED'
  | 'JOB_RUNNING'
  | 'LEASE_LOST'
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'DEADLINE'
  | 'CLOSED'
  | 'DATABASE_ERROR';

/**
 * The one class of every error that this package rejects with or throws.
 *
 * Never holds a payload, a password or a connection string.
 */
export class JobQueueError extends Error {
  override readonly name = 'JobQueueError';

  /** What went wrong, to compare with. The message may change between releases, the code does not. */
  readonly code: JobQueueErrorCode;

  /** Postgres's five-character `SQLSTATE`, where the server refused a statement. */
  declare readonly sqlState?: string;

  constructor(
    code: JobQueueErrorCode,
    message: string,
    details: { sqlState?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.sqlState !== undefined) this.sqlState = details.sqlState;
  }
}
