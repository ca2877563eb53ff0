// A processor: its handlers, its options and its methods.

import type { JobQueueError } from '../errors/job-queue-error.js';
import type { Stored } from '../payload/types.js';
import type { JobContext } from './job-context.js';

/** Runs a job. The argument is the payload, as JSON gives it back. If the promise rejects, the attempt has failed. */
export type JobHandler<PayloadMap, T extends keyof PayloadMap> = (
  payload: Stored<PayloadMap>[T],
) => Promise<void>;

/** The handlers, by job type. */
export type JobHandlers<PayloadMap> = {
  [T in keyof PayloadMap]: JobHandler<PayloadMap, T>;
};

/** The options of `createProcessor`. */
export interface ProcessorOptions {
  /** The name stored in `locked_by`: 1 to 255 characters. Default: `worker-` and random characters. */
  workerId?: string | undefined;
  /** The most jobs claimed at a time: 1 to 10,000. Default 10. */
  batchSize?: number | undefined;
  /** The most handlers running at a time, whatever `batchSize` is: 1 to 10,000. Default 3. */
  concurrency?: number | undefined;
  /**
   * How long an idle processor in the background waits before it looks for jobs again, in milliseconds: 1 to
   * 86,400,000. Default 5,000.
   */
  pollInterval?: number | undefined;
  /**
   * Called with each error that no handler has thrown: errors of claiming jobs, settling them, and connecting.
   * Default: `console.error`.
   */
  onError?: ((error: JobQueueError) => void) | undefined;
  /**
   * Called for each attempt that fails, with the error that the handler threw. If the job's time was up, the error is
   * a `JobQueueError` with the code `TIMEOUT`; if its type has no handler, the code is `INVALID_ARGUMENT`. A job that
   * is cancelled or handed back has not failed. The function may be async and is not waited for; an error that it
   * throws is printed. Default: `console.error` with the job's id, type and attempt, and the error's message and
   * stack.
   */
  onJobFailed?: ((error: unknown, job: JobContext) => void) | undefined;
  /** Log to the console, as `verbose` of `initJobQueue` does. Default: as the queue does. */
  verbose?: boolean | undefined;
  /**
   * Take only jobs of this type, or of these types. Each must have a handler. Default: all types. Jobs of a type
   * without a handler then fail.
   */
  jobType?: string | readonly string[] | undefined;
  /**
   * Delete a job when it completes. That is faster than keeping it as `completed`, and the table stays small. Jobs that
   * fail or are cancelled are kept. Default `false`.
   */
  removeOnComplete?: boolean | undefined;
  /**
   * How long this processor owns a job after claiming it, in milliseconds: 1,000 to 86,400,000. Default 30,000. While
   * the job runs, the engine extends the lease. If the process dies, other processors can claim its jobs after this
   * time.
   */
  leaseDuration?: number | undefined;
  /**
   * How long a run may take if its job has no `timeout_ms`, in milliseconds: 1 to 2,147,483,647. After that its signal
   * aborts, the attempt has failed, and its slot is free. Default: no limit.
   */
  defaultTimeout?: number | undefined;
  /**
   * How long a run may go on after `cancelJob` has aborted its signal, in milliseconds: 0 to 2,147,483,647. After that
   * the job is cancelled, and its slot is free. Default 5,000.
   */
  cancelGrace?: number | undefined;
}

/** Runs jobs. Its methods are bound and can be passed on: `process.once('SIGTERM', processor.stop)`. */
export interface Processor {
  /**
   * Claims one batch of due jobs, runs it, and waits until every outcome is written. Resolves to the number of jobs
   * that ran, failed ones included. Rejects if the jobs cannot be claimed, with `INVALID_ARGUMENT` if this processor
   * is already running, and with `CLOSED` if the queue is closed.
   */
  start(): Promise<number>;
  /**
   * Runs jobs until it is stopped. Does nothing if it already runs in the background. Throws `INVALID_ARGUMENT` while a
   * batch runs, and `CLOSED` if the queue is closed.
   */
  startInBackground(): void;
  /** Stops claiming jobs. The jobs that run go on to their end. */
  stop(): void;
  /**
   * Stops claiming jobs and waits until the jobs that run have ended and their outcomes are written. After `timeoutMs`
   * milliseconds, it hands back the jobs that still run: 0 to 2,147,483,647, default 30,000. A handler may call it: its
   * own job is handed back when the others have ended. It resolves when that is written, 5 seconds after `timeoutMs` at
   * the most. Rejects with `INVALID_ARGUMENT`.
   */
  stopAndDrain(timeoutMs?: number): Promise<void>;
  /** `true` from its start until it is stopped, or until its batch has ended. */
  isRunning(): boolean;
}
