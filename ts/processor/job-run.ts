/** One run of a job, as its handler sees it and as the processor keeps it. */

import { INT4_MAX, integer } from '../checks/checks.js';
import { argument, refuse, refuseValue } from '../checks/given.js';
import type { Client } from '../clients/client.js';
import { CLIENTS, recognise } from '../clients/recognise.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext, SeenColumns } from './job-context.js';
import { type NamedTime, namedTime } from './retry-errors.js';

/** A claimed job, as the engine sends it: its times are milliseconds since the Unix epoch. */
export type NativeJob = {
  id: number;
  runNo: number;
  job_type: string;
  payload: unknown;
} & {
  -readonly [Column in keyof SeenColumns]: SeenColumns[Column] extends Date | null
    ? number | null
    : SeenColumns[Column];
};

/** The requests that a run can make of the engine. */
export interface RunControl {
  /** The next runs have begun, or never will: they are counted in their order. */
  begun(count: number): void;
  /** A run has begun only now, since the event loop was blocked: its time counts from here. */
  begunLate(id: number, runNo: number): void;
  extendTimeout(id: number, runNo: number, ms: number): void;
  /** Completes the job on the client; resolves to whether the run owned it. */
  completeIn(client: Client, id: number, runNo: number): Promise<boolean>;
}

/** The end of a run, as the engine sees it. */
export interface EngineEnd {
  /** The run has ended for the engine, which ignores how its handler ends later. */
  over: boolean;
  /** The job has failed because of it. */
  failed: boolean;
}

/** The transaction in which a handler completes its job: there is none, its end is not known yet, or how it ended. */
export type Completion = 'none' | 'unknown' | 'committed' | 'not committed';

/**
 * One run of a job, as its handler sees it through `currentJob()`. Most handlers use little of it, so its expensive
 * parts are made when they are first asked for.
 */
export class JobRun implements JobContext {
  readonly id: number;
  readonly job_type: string;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: Date | null;
  readonly #runNo: number;
  readonly #control: RunControl;
  #controller: AbortController | undefined;
  #reason: JobQueueError | undefined;
  #over = false;
  #failed = false;
  #completion: Completion = 'none';
  #snooze: NamedTime | undefined;

  constructor(job: NativeJob, control: RunControl) {
    this.id = job.id;
    this.job_type = job.job_type;
    this.attempts = job.attempts;
    this.max_attempts = job.max_attempts;
    this.priority = job.priority;
    this.run_at = job.run_at === null ? null : new Date(job.run_at);
    this.#runNo = job.runNo;
    this.#control = control;
    Object.freeze(this);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  // Methods are getters, so that they are bound when a handler takes them: `const { extendTimeout } = currentJob()`.

  get extendTimeout(): JobContext['extendTimeout'] {
    return (ms) => {
      const time = integer(argument('currentJob().extendTimeout', 'ms', ms), 1, INT4_MAX);
      this.#control.extendTimeout(this.id, this.#runNo, time);
    };
  }

  get snooze(): JobContext['snooze'] {
    return (when) => {
      const time = namedTime(when);
      if (time === undefined) {
        const given = argument('currentJob().snooze', 'when', when);
        refuseValue(given, 'a number of milliseconds of at least 0, or a valid Date');
      }
      this.#snooze = time;
    };
  }

  get completeIn(): JobContext['completeIn'] {
    return async (db) => {
      const given = argument('currentJob().completeIn', 'the client', db);
      const client = recognise(db) ?? refuseValue(given, CLIENTS);
      if (client.isPool) {
        refuse(
          given,
          'the client is not a transaction: the job would be completed even if your transaction rolls back. ' +
            'Pass the client on which you began the transaction, or the `tx` that your library gave you',
        );
      }
      this.#completion = 'unknown';
      if (await this.#control.completeIn(client, this.id, this.#runNo)) return;
      throw new JobQueueError(
        'LEASE_LOST',
        `currentJob().completeIn: this run no longer owns job ${this.id} and cannot complete it`,
      );
    };
  }

  /** Whether this is the run that the engine means. */
  static is(run: JobRun, id: number, runNo: number): boolean {
    return run.id === id && run.#runNo === runNo;
  }

  /** Tells the engine that the run has begun only now. */
  static begunLate(run: JobRun): void {
    run.#control.begunLate(run.id, run.#runNo);
  }

  /** Tells the run that it should end. Only the first reason counts. */
  static abort(run: JobRun, reason: JobQueueError, { over, failed }: EngineEnd): void {
    run.#over ||= over;
    run.#failed ||= failed && run.#reason === undefined;
    run.#reason ??= reason;
    run.#controller?.abort(reason);
  }

  /** Why the run was told to end, if it was. */
  static reason(run: JobRun): JobQueueError | undefined {
    return run.#reason;
  }

  /** Whether the run was told that its job is to be cancelled. */
  static wasCancelled(run: JobRun): boolean {
    return run.#reason?.code === 'CANCELLED';
  }

  /** Until when its handler has put the job off. */
  static snoozedUntil(run: JobRun): NamedTime | undefined {
    return run.#snooze;
  }

  static isOver(run: JobRun): boolean {
    return run.#over;
  }

  /** Whether the job failed before its handler ended, because its time was up. */
  static wasOutOfTime(run: JobRun): boolean {
    return run.#failed;
  }

  static completion(run: JobRun): Completion {
    return run.#completion;
  }

  /** Takes note of how the transaction ended. */
  static completed(run: JobRun, committed: boolean): void {
    run.#completion = committed ? 'committed' : 'not committed';
  }
}
