/** The parts of a queue that `createRouteHandler` needs and an app does not. */

import type { JobQueueError } from '../errors/job-queue-error.js';
import type { ParsedProcessorOptions } from '../processor/arguments.js';
import type { JobProcessor } from '../processor/processor.js';
import type { CleanupPage, Old, PageStart } from './operation.js';

/**
 * `createRouteHandler` finds the internals under this name. The symbol is the same in every copy of this
 * module, so it also finds those of a queue that another copy has opened.
 */
export const QUEUE_INTERNALS = Symbol.for('pg-bg-job-queue.internals');

/** Each method waits `limitMs` milliseconds for the answer, then rejects. */
export interface QueueInternals {
  createProcessor(handlers: unknown, options: ParsedProcessorOptions): JobProcessor;
  /** Calls `tell` if Postgres refuses to let some of the jobs be put back. */
  reclaimStuckJobs(limitMs: number, tell: (error: JobQueueError) => void): Promise<number>;
  /** The old jobs that a route deletes; `undefined`: completed ones as the queue says, or after 30 days. */
  oldJobs(daysToKeep: number | false | undefined): Old[];
  /** Deletes one page of old jobs. Calls `tell` if Postgres refuses to let some of them be deleted. */
  deleteOldJobs(
    old: Old,
    from: PageStart,
    limitMs: number,
    tell: (error: JobQueueError) => void,
  ): Promise<CleanupPage>;
  /** Counts the jobs that are left, and says which of these types have a job that is due. */
  backlog(types: string[], limitMs: number): Promise<Backlog>;
}

/** The jobs that are left to do. */
export interface Backlog {
  /** How many jobs are due. */
  due: number;
  /** When the next job will be due, in milliseconds since the Unix epoch; `null` if none is planned. */
  nextDueAt: number | null;
  /** The types, of those that were asked for, that have a job which is due. */
  waiting: string[];
}
