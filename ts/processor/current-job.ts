import { AsyncLocalStorage } from 'node:async_hooks';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';

/**
 * Shared by every copy of this module in the process: a bundler or a test runner may load several,
 * and a handler that imports one may be run by the processor of another.
 */
const key = Symbol.for('pg-bg-job-queue.currentJob');
const shared = globalThis as { [key]?: AsyncLocalStorage<JobContext> };
shared[key] ??= new AsyncLocalStorage<JobContext>();

export const jobStorage: AsyncLocalStorage<JobContext> = shared[key];

/**
 * The job that the calling handler runs, as `headers()` and `cookies()` give a Next.js function its
 * request. Throws `INVALID_ARGUMENT` outside a handler.
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
