/**
 * Runs the handlers of one processor. Nothing that a handler does or throws leaves this file as an
 * exception; each run ends in exactly one outcome, and all outcomes of a turn of the event loop go to
 * the engine together.
 */

import { AsyncResource } from 'node:async_hooks';
// Not the global one: that is what fake timers replace.
import { setImmediate } from 'node:timers';
import type { AnyHandler } from './arguments/processor.js';
import { jobStorage } from './current-job.js';
import { type DescribedError, describeError } from './describe-error.js';
import type { JobQueueError } from './errors.js';
import { JobRun, type NativeJob, type RunControl } from './job-run.js';
import type { Log } from './log.js';

/** How a run ended, as the engine takes it. */
interface Outcome {
  id: number;
  runNo: number;
  error?: DescribedError;
  pendingReason?: string;
  cancelled?: boolean;
}

export class HandlerRuns {
  private readonly runs = new Set<JobRun>();
  private outcomes: Outcome[] = [];

  constructor(
    private readonly handlers: ReadonlyMap<string, AnyHandler>,
    private readonly settle: (outcomes: string) => void,
    private readonly control: RunControl,
    private readonly log: Log | undefined,
  ) {}

  begin(jobs: NativeJob[]): void {
    for (const job of jobs) this.run(job);
  }

  abort(id: number, runNo: number, reason: JobQueueError): void {
    for (const run of this.runs) {
      if (JobRun.is(run, id, runNo)) JobRun.abort(run, reason);
    }
  }

  private run(job: NativeJob): void {
    const { id, runNo, jobType } = job;
    const handler = this.handlers.get(jobType);
    if (handler === undefined) {
      const message = `No handler registered for job type: ${jobType}`;
      this.end({ id, runNo, error: { message }, pendingReason: message });
      return;
    }
    const run = new JobRun(job, this.control);
    this.runs.add(run);
    const startedAt = performance.now();
    this.log?.(`job ${id} (${jobType}) started: attempt ${job.attempts} of ${job.maxAttempts}`);

    const end = (outcome: Outcome) => {
      this.runs.delete(run);
      if (JobRun.wasCancelled(run)) outcome.cancelled = true;
      const duration = Math.round(performance.now() - startedAt);
      this.log?.(`job ${id} (${jobType}) ${howItEnded(outcome)} after ${duration} ms`);
      this.end(outcome);
    };
    jobStorage.run(run, callInScope, handler, job.payload).then(
      () => end({ id, runNo }),
      (thrown) => end({ id, runNo, error: describeError(thrown) }),
    );
  }

  private end(outcome: Outcome): void {
    if (this.outcomes.push(outcome) === 1) setImmediate(() => this.flush());
  }

  private flush(): void {
    const outcomes = this.outcomes;
    this.outcomes = [];
    this.settle(JSON.stringify(outcomes));
  }
}

function howItEnded(outcome: Outcome): string {
  if (outcome.cancelled) return 'was cancelled';
  return outcome.error === undefined ? 'completed' : 'failed';
}

/** In an asynchronous scope of its own: what a handler sets by `enterWith` is not the next one's. */
function callInScope(handler: AnyHandler, payload: unknown): Promise<void> {
  const scope = new AsyncResource('pg-bg-job-queue.job');
  return scope.runInAsyncScope(callHandler, undefined, handler, payload);
}

/** An async function turns whatever a handler does, a throw included, into one promise. */
async function callHandler(handler: AnyHandler, payload: unknown): Promise<void> {
  await handler(payload);
}
