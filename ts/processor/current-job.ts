/** How a handler finds the job that it runs. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';

/**
 * All copies of this module in the process share it: a bundler or a test runner may load several, and a processor of
 * one copy may run a handler that imports another.
 */
const key = Symbol.for('pg-bg-job-queue.currentJob');
const shared = globalThis as { [key]?: AsyncLocalStorage<JobContext> };
shared[key] ??= new AsyncLocalStorage<JobContext>();

export const jobStorage: AsyncLocalStorage<JobContext> = shared[key];

/**
 * Gives a handler the job that it runs, as `headers()` and `cookies()` give a Next.js function its request. Works in
 * everything that the handler awaits. Throws `INVALID_ARGUMENT` outside a handler.
 */
export function currentJob(): JobContext {
  const job = jobStorage.getStore();
  if (job === undefined) {
    throw new JobQueueError(
      'INVALID_ARGUMENT',
      'currentJob: called outside a job handler; it works in a handler and in what the handler awaits',
    );
  }
  return job;
}
