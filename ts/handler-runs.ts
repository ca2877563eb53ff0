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
import type { Log } from './log.js';

/** A claimed job, as the engine sends it. */
export interface NativeJob {
  id: number;
  runNo: number;
  jobType: string;
  payload: unknown;
  attempts: number;
  maxAttempts: number;
  priority: number;
  runAt: number | null;
}

/** How a run ended, as the engine takes it. */
interface Outcome {
  id: number;
  runNo: number;
  error?: DescribedError;
  pendingReason?: string;
}

export class HandlerRuns {
  private readonly controllers = new Map<string, AbortController>();
  private outcomes: Outcome[] = [];

  constructor(
    private readonly handlers: ReadonlyMap<string, AnyHandler>,
    private readonly settle: (outcomes: string) => void,
    private readonly log: Log,
  ) {}

  begin(jobs: NativeJob[]): void {
    for (const job of jobs) this.run(job);
  }

  abort(id: number, runNo: number, reason: JobQueueError): void {
    this.controllers.get(keyOf(id, runNo))?.abort(reason);
  }

  private run(job: NativeJob): void {
    const { id, runNo, jobType } = job;
    const handler = this.handlers.get(jobType);
    if (handler === undefined) {
      const message = `No handler registered for job type: ${jobType}`;
      this.end({ id, runNo, error: { message }, pendingReason: message });
      return;
    }
    const controller = new AbortController();
    this.controllers.set(keyOf(id, runNo), controller);
    const startedAt = performance.now();
    this.log(`job ${id} (${jobType}) started: attempt ${job.attempts} of ${job.maxAttempts}`);

    const end = (outcome: Outcome) => {
      this.controllers.delete(keyOf(id, runNo));
      const duration = Math.round(performance.now() - startedAt);
      const how = outcome.error === undefined ? 'completed' : 'failed';
      this.log(`job ${id} (${jobType}) ${how} after ${duration} ms`);
      this.end(outcome);
    };
    jobStorage.run(contextOf(job, controller.signal), callInScope, handler, job.payload).then(
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

/** In an asynchronous scope of its own: what a handler sets by `enterWith` is not the next one's. */
function callInScope(handler: AnyHandler, payload: unknown): Promise<void> {
  const scope = new AsyncResource('pg-bg-job-queue.job');
  return scope.runInAsyncScope(callHandler, undefined, handler, payload);
}

/** An async function turns whatever a handler does, a throw included, into one promise. */
async function callHandler(handler: AnyHandler, payload: unknown): Promise<void> {
  await handler(payload);
}

function contextOf(job: NativeJob, signal: AbortSignal) {
  return Object.freeze({
    id: job.id,
    job_type: job.jobType,
    attempts: job.attempts,
    max_attempts: job.maxAttempts,
    priority: job.priority,
    run_at: job.runAt === null ? null : new Date(job.runAt),
    signal,
  });
}

const keyOf = (id: number, runNo: number) => `${id}/${runNo}`;
