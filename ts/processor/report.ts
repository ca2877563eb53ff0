/** Tells the user of errors: by a function of theirs, or on the console. */

import { inLine } from '../basics/text.js';
import { printable } from '../errors/describe-error.js';
import { JobQueueError, type JobQueueErrorCode } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';

/** Calls a function of the user's. An error that it throws, or rejects with, is printed and ends nothing. */
export async function tell<Args extends unknown[]>(
  name: 'onError' | 'onJobFailed',
  listener: (...args: Args) => unknown,
  ...args: Args
): Promise<void> {
  try {
    // Its type says `void`, and it may still be an async function.
    await listener(...args);
  } catch (thrown) {
    // An exception or a rejection here would end the process.
    console.error(`pg-bg-job-queue: ${name} threw: ${printable(thrown)}`);
  }
}

/** The errors whose cause is an error that a function of the user's threw. */
const withForeignCause = new WeakSet<JobQueueError>();

/** Makes an error whose cause is an error that a function of the user's threw. */
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
 * The default of `onError`. The console would also show the properties of a cause, in which libraries note the values
 * that they sent to a database. So of an error of the user's own, only the message and stack are shown.
 */
export function printError(error: JobQueueError): void {
  // Looked up at each call, so that a console that is replaced or spied on later is used.
  console.error(withForeignCause.has(error) ? printable(error) : error);
}

/** The default of `onJobFailed`. It shows the message and stack alone, as `error_history` does. */
export function printFailedJob(error: unknown, job: JobContext): void {
  const { id, job_type, attempts, max_attempts } = job;
  console.error(
    `pg-bg-job-queue: job ${id} (${inLine(job_type)}) failed, attempt ${attempts} of ${max_attempts}: ${printable(error)}`,
  );
}
