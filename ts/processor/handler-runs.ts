/**
 * Runs the handlers of one processor. No exception of a handler leaves this file. Each run ends in exactly one outcome,
 * and all outcomes of a turn of the event loop go to the engine together.
 */

import { AsyncResource } from 'node:async_hooks';
import { toJson } from '../basics/json.js';
import type { Log } from '../basics/log.js';
import { inLine } from '../basics/text.js';
import { now, setImmediate, sinceEpoch } from '../basics/timers.js';
import { type DescribedError, describeError, inOneLine } from '../errors/describe-error.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import type { AnyHandler, Definitions } from './arguments.js';
import { jobStorage } from './current-job.js';
import { FailedRuns, type FailureListener } from './failed-runs.js';
import { type EngineEnd, JobRun, type NativeJob, type RunControl } from './job-run.js';
import { nextAttempt, type ParsedRetry } from './retry.js';
import type { NamedTime } from './retry-errors.js';

/** How a run ended, as the engine takes it. */
interface Outcome {
  id: number;
  runNo: number;
  error?: DescribedError;
  pendingReason?: string;
  retry?: ReturnType<typeof nextAttempt>;
  snooze?: NamedTime;
  cancelled?: boolean;
  notBegun?: boolean;
}

/** Runs that were handed over together, and begin in their order. */
interface Batch {
  jobs: NativeJob[];
  runs: JobRun[];
  /** How many of them have begun. */
  begun: number;
  late: boolean;
}

/** A time in milliseconds. If a run waits longer for its beginning, the event loop was blocked, and the engine may have told a run to end meanwhile. */
const LATE = 50;

export class HandlerRuns {
  /** The runs whose handlers have not ended. */
  private readonly runs = new Set<JobRun>();
  /** The runs among them that are not waited for: they wait for the end of the processor, or their time is up. */
  private readonly leftBehind = new Set<JobRun>();
  private onOthersEnded: (() => void)[] = [];
  private outcomes: Outcome[] = [];
  /** The runs that have not begun. */
  private readonly waiting: Batch[] = [];
  private readonly failures: FailedRuns;

  constructor(
    private readonly handlers: Definitions,
    private readonly settle: (outcomes: string) => void,
    private readonly control: RunControl,
    private readonly listener: FailureListener,
    private readonly log: Log | undefined,
  ) {
    this.failures = new FailedRuns(listener);
  }

  begin(jobs: NativeJob[], sentAt: number): void {
    const runs = jobs.map((job) => new JobRun(job, this.control));
    // All of them count as running before the first handler is called: it may ask for their end at once.
    for (const run of runs) if (this.handlers.has(run.job_type)) this.runs.add(run);
    const late = Math.abs(sinceEpoch() - sentAt) > LATE;
    this.waiting.push({ jobs, runs, begun: 0, late });
    // Those before them wait for the next turn of the event loop.
    if (this.waiting.length > 1) return;
    if (late) this.beginNextTurn();
    else this.beginWaiting();
  }

  /**
   * Begins the runs that wait. If one of them blocks the event loop, the others begin in the next turn: messages of the
   * engine that have come meanwhile are heard first.
   */
  private beginWaiting(): void {
    for (let batch = this.waiting[0]; batch !== undefined; batch = this.waiting[0]) {
      const blocked = this.beginBatch(batch);
      if (batch.begun === batch.jobs.length) this.waiting.shift();
      if (!blocked) continue;
      for (const each of this.waiting) each.late = true;
      if (this.waiting.length > 0) this.beginNextTurn();
      return;
    }
  }

  /** Begins the runs of a batch until one of them blocks the event loop; returns whether one did. */
  private beginBatch(batch: Batch): boolean {
    const { jobs, runs } = batch;
    // A call for each run would cost more than to begin it. So the engine knows of the first when it begins, and of the
    // others afterwards.
    this.control.begun(1);
    const counted = batch.begun + 1;
    let startedAt = now();
    let blocked = false;
    while (batch.begun < jobs.length && !blocked) {
      const at = batch.begun++;
      this.run(jobs[at] as NativeJob, runs[at] as JobRun, batch.late, startedAt);
      const after = now();
      blocked = after - startedAt > LATE;
      startedAt = after;
    }
    if (batch.begun > counted) this.control.begun(batch.begun - counted);
    return blocked;
  }

  private beginNextTurn(): void {
    setImmediate(() => this.beginWaiting());
  }

  /** Tells a run to end. */
  abort(id: number, runNo: number, reason: JobQueueError, end: EngineEnd): void {
    const run = this.find(id, runNo);
    if (run === undefined) return;
    JobRun.abort(run, reason, end);
    if (!end.failed) return;
    this.leaveBehind(run);
    if (JobRun.reason(run) !== reason) return;
    this.log?.(`job ${id} (${inLine(run.job_type)}) failed: ${inOneLine(reason)}`);
    this.failures.outOfTime(run, reason);
  }

  /** Takes note of how the transaction ended in which a handler completed its job. */
  settledByHandler(id: number, runNo: number, committed: boolean): void {
    const run = this.find(id, runNo);
    if (run !== undefined) JobRun.completed(run, committed);
    this.failures.settledByHandler(id, runNo, committed);
  }

  engineBegan(): void {
    this.failures.engineBegan();
  }

  engineEnded(): void {
    this.failures.engineEnded();
  }

  /** Whether the caller is one of these runs. If so, it waits for the others, and nothing waits for it. */
  leaveCallerBehind(): boolean {
    const caller = jobStorage.getStore() as JobRun | undefined;
    if (caller === undefined || !this.runs.has(caller)) return false;
    this.leaveBehind(caller);
    return true;
  }

  /** Resolves when only runs are left that are not waited for. */
  async othersEnded(): Promise<void> {
    while (this.runs.size > this.leftBehind.size) {
      await new Promise<void>((resolve) => {
        this.onOthersEnded.push(resolve);
      });
    }
  }

  private find(id: number, runNo: number): JobRun | undefined {
    for (const run of this.runs) if (JobRun.is(run, id, runNo)) return run;
    return undefined;
  }

  private leaveBehind(run: JobRun): void {
    this.leftBehind.add(run);
    this.tellOthersEnded();
  }

  private tellOthersEnded(): void {
    if (this.onOthersEnded.length === 0 || this.runs.size > this.leftBehind.size) return;
    for (const resolve of this.onOthersEnded.splice(0)) resolve();
  }

  private run(job: NativeJob, run: JobRun, late: boolean, startedAt: number): void {
    const { id, runNo, job_type: jobType } = job;
    if (late) JobRun.begunLate(run);
    const handler = this.handlers.get(jobType);
    if (handler === undefined) {
      this.refuse(run, runNo);
      return;
    }
    const reason = JobRun.reason(run);
    if (reason !== undefined) {
      this.log?.(`job ${id} (${inLine(jobType)}) was not begun: ${inOneLine(reason)}`);
      this.runs.delete(run);
      this.leftBehind.delete(run);
      this.end({ id, runNo, notBegun: true });
      this.tellOthersEnded();
      return;
    }
    this.log?.(
      `job ${id} (${inLine(jobType)}) started: attempt ${job.attempts} of ${job.max_attempts}`,
    );

    const end = (outcome: Outcome, why = '') => {
      this.runs.delete(run);
      this.leftBehind.delete(run);
      if (JobRun.wasCancelled(run)) outcome.cancelled = true;
      const duration = Math.round(now() - startedAt);
      this.log?.(
        `job ${id} (${inLine(jobType)}) ${howItEnded(run, outcome)} after ${duration} ms${why}`,
      );
      this.end(outcome);
      this.tellOthersEnded();
    };
    jobStorage.run(run, callInScope, handler.run, job.payload).then(
      () => {
        const snooze = JobRun.snoozedUntil(run);
        end(snooze === undefined ? { id, runNo } : { id, runNo, snooze });
      },
      (thrown) => {
        const error = describeError(thrown);
        const retry = this.nextAttempt(run, handler.retry, thrown);
        end({ id, runNo, error, retry }, this.log && `: ${inOneLine(thrown)}`);
        this.failures.threw(run, thrown);
      },
    );
  }

  /** What a run says of its next attempt. A run that is over, or was to be cancelled, has nothing to say. */
  private nextAttempt(run: JobRun, policy: ParsedRetry, thrown: unknown): Outcome['retry'] {
    if (JobRun.isOver(run) || JobRun.wasCancelled(run)) return undefined;
    return nextAttempt(policy, thrown, run, (error) => this.listener.report(error));
  }

  /** Ends a run whose job has no handler here, with `unknownTypes: 'fail'`. */
  private refuse(run: JobRun, runNo: number): void {
    const { id } = run;
    const type = inLine(run.job_type);
    const message = `No handler registered for job type: ${type}`;
    this.log?.(`job ${id} (${type}) failed: ${message}`);
    this.end({ id, runNo, error: { message }, pendingReason: message });
    this.failures.threw(run, new JobQueueError('NO_HANDLER', message));
  }

  private end(outcome: Outcome): void {
    if (this.outcomes.push(outcome) === 1) setImmediate(() => this.flush());
  }

  /** Tells the engine now which runs have ended in this turn of the event loop. */
  flush(): void {
    const outcomes = this.outcomes;
    if (outcomes.length === 0) return;
    this.outcomes = [];
    this.settle(`[${outcomes.map(outcomeToJson).join()}]`);
  }
}

/** Most outcomes have an id and a run alone, and there are many of them. Only own members count. */
function outcomeToJson(outcome: Outcome): string {
  if (Object.keys(outcome).length === 2) return `{"id":${outcome.id},"runNo":${outcome.runNo}}`;
  const { id, runNo, ...more } = outcome;
  return toJson({ id, runNo, ...more, error: more.error && { ...more.error } });
}

function howItEnded(run: JobRun, outcome: Outcome): string {
  if (outcome.cancelled) return 'was cancelled';
  if (JobRun.isOver(run)) return 'ended too late';
  if (outcome.error !== undefined) return 'failed';
  return outcome.snooze === undefined ? 'completed' : 'was put off';
}

/** Calls a handler in an asynchronous scope of its own, so that its `enterWith` does not reach the next handler. */
function callInScope(handler: AnyHandler, payload: unknown): Promise<void> {
  const scope = new AsyncResource('pg-bg-job-queue.job');
  return scope.runInAsyncScope(callHandler, undefined, handler, payload);
}

/** Calls a handler. An async function makes one promise of its result, also if it throws at once. */
async function callHandler(handler: AnyHandler, payload: unknown): Promise<void> {
  await handler(payload);
}
