/** Tells of jobs that Postgres has refused to let be changed, in an operation over many jobs. */

import { JobQueueError } from '../errors/job-queue-error.js';

/** The second result of an operation over many jobs: see `src/store/bulk.rs`. */
interface Refused {
  /** The jobs, as a message names them. */
  refused: string | null;
  sqlState: string | null;
}

/** Calls `tell` if the result says that some jobs could not be changed. `what` is the change, as in `cancelled`. */
export function tellRefused(
  what: string,
  result: string | undefined,
  tell: (error: JobQueueError) => void,
): void {
  if (result === undefined) return;
  const { refused, sqlState } = JSON.parse(result) as Refused;
  if (refused === null) return;
  const message =
    `Postgres refuses to let ${refused} be ${what} (SQLSTATE ${sqlState}), because of a constraint or a trigger ` +
    `of the database. The other jobs were ${what}`;
  tell(new JobQueueError('DATABASE_ERROR', message, { sqlState: sqlState ?? undefined }));
}
