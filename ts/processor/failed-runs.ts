/**
 * Tells of runs that failed. If a handler completed its job in a transaction, only the engine learns whether the run
 * failed: it asks the database how the transaction ended. The error that was thrown is kept until then.
 */

import { setImmediate } from '../basics/timers.js';
import type { JobQueueError } from '../errors/job-queue-error.js';
import { JobRun } from './job-run.js';
import { causedByUser } from './report.js';

export interface FailureListener {
  /** The job of a run has failed, with this error. */
  failed(error: unknown, run: JobRun): void;
  /** An error that fails no job. */
  report(error: JobQueueError): void;
}

export class FailedRuns {
  private engineRuns = false;
  /** The errors of runs whose jobs may have been completed: that is not known yet. */
  private readonly unsure = new Map<JobRun, unknown>();

  constructor(private readonly listener: FailureListener) {}

  /** A handler threw. */
  threw(run: JobRun, thrown: unknown): void {
    // The failure was told when the time of the run was up.
    if (!JobRun.wasOutOfTime(run)) this.ended(run, thrown);
  }

  /** The time of a run is up. */
  outOfTime(run: JobRun, reason: JobQueueError): void {
    this.ended(run, reason);
  }

  private ended(run: JobRun, error: unknown): void {
    if (JobRun.completion(run) === 'unknown' && this.engineRuns) this.unsure.set(run, error);
    else this.conclude(run, error);
  }

  settledByHandler(id: number, runNo: number, committed: boolean): void {
    for (const [run, error] of this.unsure) {
      if (!JobRun.is(run, id, runNo)) continue;
      this.unsure.delete(run);
      JobRun.completed(run, committed);
      this.conclude(run, error);
    }
  }

  private conclude(run: JobRun, error: unknown): void {
    if (JobRun.completion(run) === 'committed') this.listener.report(afterCommit(run, error));
    // A run that was cancelled or handed back has not failed, even if its handler throws.
    else if (!JobRun.isOver(run) || JobRun.wasOutOfTime(run)) this.listener.failed(error, run);
  }

  engineBegan(): void {
    this.engineRuns = true;
  }

  /** The engine will say nothing more about runs whose end is not known yet. */
  engineEnded(): void {
    this.engineRuns = false;
    const left = [...this.unsure];
    // The last messages of the engine may arrive in this turn of the event loop, after its end.
    setImmediate(() => {
      for (const [run, error] of left) if (this.unsure.delete(run)) this.conclude(run, error);
    });
  }
}

function afterCommit(run: JobRun, error: unknown): JobQueueError {
  const what = JobRun.wasOutOfTime(run) ? 'ran out of time' : 'threw';
  return causedByUser(
    'INVALID_ARGUMENT',
    `the handler of job ${run.id} ${what} after the transaction that completed the job was committed; ` +
      'the job is completed and is not tried again',
    error,
  );
}
