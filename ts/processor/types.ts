// A processor and its options, and the handlers that it runs.

import type { JobQueueError } from '../errors/job-queue-error.js';
import type { Stored } from '../payload/types.js';
import type { JobContext } from './job-context.js';

/** Its argument is the payload, as JSON gives it back. */
export type JobHandler<PayloadMap, T extends keyof PayloadMap> = (
  payload: Stored<PayloadMap>[T],
) => Promise<void>;

export type JobHandlers<PayloadMap> = {
  [T in keyof PayloadMap]: JobHandler<PayloadMap, T>;
};

export interface ProcessorOptions {
  /** Stored in `locked_by`: 1 to 255 characters. Default `worker-` and random characters. */
  workerId?: string | undefined;
  /** The most jobs claimed at a time: 1 to 10,000. Default 10. */
  batchSize?: number | undefined;
  /** The most handlers running at a time, whatever `batchSize` is: 1 to 10,000. Default 3. */
  concurrency?: number | undefined;
  /** Background only: how long an idle processor waits before it looks again, in milliseconds: 1 to 86,400,000. Default 5,000. */
  pollInterval?: number | undefined;
  /** Called with each error that is not thrown by a handler: of claiming, settling, connecting. Default `console.error`. */
  onError?: ((error: JobQueueError) => void) | undefined;
  /**
   * Called for each attempt of a job that fails, with the error that the handler threw; or with a
   * `JobQueueError`, `TIMEOUT` where the job's time was up, `INVALID_ARGUMENT` where there is no handler for its type. A
   * job that is cancelled or handed back has not failed. The function may be async and is not waited for; an error that
   * it throws is printed. Default: `console.error` with the job's id, type and attempt, and the message and stack of what
   * was thrown.
   */
  onJobFailed?: ((error: unknown, job: JobContext) => void) | undefined;
  /** Log what happens to the console. Default: as the queue does. */
  verbose?: boolean | undefined;
  /**
   * Take only jobs of this type, or of these, each of which must have a handler. Default: all types, also
   * those without a handler, which fail.
   */
  jobType?: string | readonly string[] | undefined;
  /**
   * Delete a job when it completes, in place of keeping it as `completed`: faster, and the table stays
   * small. Jobs that fail or are cancelled are kept. Default `false`.
   */
  removeOnComplete?: boolean | undefined;
  /**
   * How long a claimed job is this processor's own unless extended, in milliseconds: 1,000 to 86,400,000.
   * The engine extends what runs. If the process dies, its jobs are free for others after this time.
   * Default 30,000.
   */
  leaseDuration?: number | undefined;
  /**
   * How long a run may take whose job has no `timeout_ms`, in milliseconds: 1 to 2,147,483,647. Then its
   * signal aborts, the attempt has failed, and its slot is free. Default: no limit.
   */
  defaultTimeout?: number | undefined;
  /**
   * How long a run has to end after `cancelJob` has aborted its signal, in milliseconds: 0 to 2,147,483,647.
   * Then the job is cancelled, and its slot is free. Default 5,000.
   */
  cancelGrace?: number | undefined;
}

/** Its methods are bound: they work apart from it, as in `process.once('SIGTERM', processor.stop)`. */
export interface Processor {
  /**
   * Claims one batch of due jobs, runs it, and waits until every outcome is written.
   * Resolves to the number of jobs run, failed ones included. Rejects if the jobs cannot be claimed.
   */
  start(): Promise<number>;
  /** Runs jobs until stopped. Called while it runs, it changes nothing. */
  startInBackground(): void;
  /** Claims no more. What runs goes on to its end. */
  stop(): void;
  /**
   * Stops and waits until what runs has ended and is settled, for `timeoutMs` milliseconds at the most; then
   * what still runs is handed back. Default 30,000. A handler that calls it is not waited for: its own job
   * is handed back when the others have ended.
   */
  stopAndDrain(timeoutMs?: number): Promise<void>;
  /** Whether it works: true from its start until it is stopped, or until its batch has ended. */
  isRunning(): boolean;
}
