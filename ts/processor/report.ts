/** Telling the user what went wrong: to a function of theirs, or on the console. */

import { inLine } from '../basics/text.js';
import { printable } from '../errors/describe-error.js';
import { JobQueueError, type JobQueueErrorCode } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';

/** Calls a function of the user's. Whatever it does, nothing else changes. */
export async function tell<Args extends unknown[]>(
  name: 'onError' | 'onJobFailed',
  listener: (...args: Args) => unknown,
  ...args: Args
): Promise<void> {
  try {
    // It may be an async function, whatever its type says.
    await listener(...args);
  } catch (thrown) {
    // An exception or a rejection here would end the process.
    console.error(`pg-bg-job-queue: ${name} threw: ${printable(thrown)}`);
  }
}

/** Errors whose cause is what a function of the user's threw. */
const withForeignCause = new WeakSet<JobQueueError>();

/** An error whose cause is what a function of the user's threw. */
export function causedByUser(
  code: JobQueueErrorCode,
  message: string,
  thrown: unknown,
): JobQueueError {
  const error = new JobQueueError(code, message, { cause: thrown });
  withForeignCause.add(error);
  return error;
}

/**
 * What `onError` is by default. The console would also show the properties of a cause, and libraries
 * note there what was sent to a database: of what is the user's own, only the message and stack are shown.
 */
export function printError(error: JobQueueError): void {
  // Looked up at each call, so that a console that is replaced or spied on later is used.
  console.error(withForeignCause.has(error) ? printable(error) : error);
}

/** What `onJobFailed` is by default. As in `error_history`, the message and stack are all that is shown. */
export function printFailedJob(error: unknown, job: JobContext): void {
  const { id, job_type, attempts, max_attempts } = job;
  console.error(
    `pg-bg-job-queue: job ${id} (${inLine(job_type)}) failed, attempt ${attempts} of ${max_attempts}: ${printable(error)}`,
  );
}
