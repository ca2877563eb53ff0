/** Operations over many jobs, of which Postgres has refused some. */

import { JobQueueError } from '../errors/job-queue-error.js';

/** What Rust answers besides: see `src/store/bulk.rs`. */
interface Refused {
  refused: number;
  sqlState: string | null;
}

/**
 * Tells of the jobs that could not be changed, if the second result of an operation says that there are some.
 * `what` is what they should have become.
 */
export function tellRefused(
  what: string,
  result: string | undefined,
  tell: (error: JobQueueError) => void,
): void {
  if (result === undefined) return;
  const { refused, sqlState } = JSON.parse(result) as Refused;
  if (refused === 0) return;
  const jobs = refused === 1 ? 'one job' : `${refused} jobs`;
  const message =
    `Postgres refuses to let ${jobs} be ${what} (SQLSTATE ${sqlState}): a constraint or a trigger of the ` +
    'database does; the other jobs were';
  tell(new JobQueueError('DATABASE_ERROR', message, { sqlState: sqlState ?? undefined }));
}
