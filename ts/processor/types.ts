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

/**
 * When a failed job is tried again. The delay before attempt `n + 1` is `delay * factor^(n - 1)`, `maxDelay` at the most,
 * times a random number between `1 - jitter` and 1. If one of these four is given, the others have their defaults.
 *
 * The job's own `retry_delay_ms`, `retry_factor` and `retry_max_delay_ms` go before the policy of its definition, and
 * that before the processor's, field by field. If none of them sets a field, the job is tried again after `2^attempts`
 * minutes: 2, 4, 8 ...
 *
 * A job whose worker was lost is due again as soon as that is noticed, whatever its policy.
 */
export interface RetryPolicy {
  /** Before the second attempt, in milliseconds: 0 to 2,147,483,647. Default 1,000. */
  delay?: number | undefined;
  /** How the delay grows with each attempt: 1 (it does not grow) to 1,000. Default 2. */
  factor?: number | undefined;
  /** The longest delay, in milliseconds: 0 to 2,147,483,647. Default 3,600,000. */
  maxDelay?: number | undefined;
  /**
   * The part of the delay that is left to chance, so that jobs that failed together do not come back together: 0 to 1.
   * Default 0.25.
   */
  jitter?: number | undefined;
  /**
   * Decides by what the handler threw: milliseconds from now or a `Date` (a time in the past is now), `'fail'` if the
   * job has failed for good, or `undefined` for the delay as above. It grants no attempt beyond the last. It is not
   * asked about `RetryAfter` and `Unrecoverable`, which decide themselves, nor about runs whose time was up and lost
   * workers. It must not be async. If it throws, or gives another value, `onError` is told, and the delay holds.
   */
  decide?: ((error: unknown, job: JobContext) => number | Date | 'fail' | undefined) | undefined;
}

/** A handler, and what holds for all jobs of its type. */
export interface JobDefinition<PayloadMap, T extends keyof PayloadMap> {
  run: JobHandler<PayloadMap, T>;
  /** When a job of this type that has failed is tried again. */
  retry?: RetryPolicy | undefined;
  /**
   * How long a run may take, in milliseconds: 1 to 2,147,483,647. The job's own `timeout_ms` goes before it, and it goes
   * before the processor's `defaultTimeout`.
   */
  timeout?: number | undefined;
}

/** A handler or a definition for each job type: what processors and routes take. */
export type JobDefinitions<PayloadMap> = {
  [T in keyof PayloadMap]: JobHandler<PayloadMap, T> | JobDefinition<PayloadMap, T>;
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
   * a `JobQueueError` with the code `TIMEOUT`; if its type has no handler, the code is `NO_HANDLER`. A job that
   * is cancelled or handed back has not failed. The function may be async and is not waited for; an error that it
   * throws is printed. Default: `console.error` with the job's id, type and attempt, and the error's message and
   * stack.
   */
  onJobFailed?: ((error: unknown, job: JobContext) => void) | undefined;
  /** Log to the console, as `verbose` of `initJobQueue` does. Default: as the queue does. */
  verbose?: boolean | undefined;
  /**
   * Take only jobs of this type, or of these types. Each must have a handler. Default: all types. See `unknownTypes`.
   */
  jobType?: string | readonly string[] | undefined;
  /**
   * What becomes of a due job of a type that has no handler here, as when a newer deployment has added the type.
   *
   * - `'leave'`, the default: the job is put back at once, for a worker that has a handler. The attempt is not counted,
   *   and `pending_reason` says why. `onError` is told once for each type, with the code `NO_HANDLER`. The queue's
   *   processors with these handlers then claim only jobs of the types that they handle, and claim all types again
   *   after a minute; if such jobs are still there, after two minutes, and so on up to an hour.
   * - `'fail'`: the attempt fails with `No handler registered for job type: X`, also in `pending_reason`.
   */
  unknownTypes?: 'leave' | 'fail' | undefined;
  /** When a job that has failed is tried again, where neither the job nor its definition says. */
  retry?: RetryPolicy | undefined;
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
