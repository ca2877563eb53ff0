/**
 * A processor: the engine in Rust decides which jobs run, this file runs them and keeps the process alive meanwhile.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import {
  call,
  callSync,
  type NativeError,
  type NativeProcessor,
  type NativeQueue,
  toJobQueueError,
} from '../addon/native.js';
import { bindMethods } from '../basics/bound.js';
import { type Log, openLog } from '../basics/log.js';
import { inLine } from '../basics/text.js';
import type { Client } from '../clients/client.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { type Definitions, type ParsedProcessorOptions, parseDrainTimeout } from './arguments.js';
import { HandlerRuns } from './handler-runs.js';
import type { NativeJob } from './job-run.js';
import { tell } from './report.js';
import { numbersOf, type ParsedRetry, policyOf } from './retry.js';
import type { Processor } from './types.js';

/** A message of the engine: see `src/node/processor.rs`. */
type Message =
  | { kind: 'run'; jobs: NativeJob[]; sentAt: number }
  | { kind: 'abort'; id: number; runNo: number; error: NativeError; failed: boolean }
  | { kind: 'settledByHandler'; id: number; runNo: number; committed: boolean }
  | { kind: 'error'; error: NativeError };

/** The work that an engine has done: see `src/processor/tally.rs`. */
export interface Tally {
  started: number;
  completed: number;
  failed: number;
  cancelled: number;
  released: number;
  snoozed: number;
  didNotFit: { id: number; jobType: string }[];
  notClaimed: string[];
}

type InContext = <T>(run: () => T) => T;

/** The parts of a queue that its processors need. */
export interface ProcessorHome {
  readonly queue: NativeQueue;
  /** The processors whose engine runs. */
  readonly running: Set<JobProcessor>;
  /** Is told when a processor begins to run in the background; returns a function to be told when that has ended. */
  readonly background: { begin(report: (error: JobQueueError) => void): () => void };
  /** For processors without the option. */
  readonly verbose: boolean;
  /** Completes the job of a run on a caller's client; resolves to whether the run owned it. */
  completeIn(client: Client, id: number, runNo: number, remove: boolean): Promise<boolean>;
  refuseIfClosed(method: string): void;
}

const outsideOfRequests: InContext = AsyncLocalStorage.snapshot();

/** Those that users call. To bind all methods would take a route's processor as long as all else that makes it. */
const METHODS = Object.keys({
  start: true,
  startInBackground: true,
  stop: true,
  stopAndDrain: true,
  isRunning: true,
} satisfies Record<keyof Processor, true>);

export class JobProcessor implements Processor {
  private readonly processor: NativeProcessor;
  private readonly runs: HandlerRuns;
  private readonly log: Log | undefined;
  /** Settles when the engine that runs has ended. */
  private engine: Promise<unknown> | null = null;
  private mode: 'batch' | 'background' | 'stopping' = 'stopping';
  private startAgain = false;
  private inContext: InContext = outsideOfRequests;

  constructor(
    private readonly home: ProcessorHome,
    handlers: Definitions,
    private readonly options: ParsedProcessorOptions,
  ) {
    const definitions = withPolicy(handlers, options.retry);
    this.log = openLog(options.verbose ?? home.verbose);
    this.processor = callSync(() =>
      home.queue.createProcessor(
        {
          workerId: options.workerId,
          batchSize: options.batchSize,
          concurrency: options.concurrency,
          pollIntervalMs: options.pollInterval,
          leaseMs: options.leaseDuration,
          defaultTimeoutMs: options.defaultTimeout,
          cancelGraceMs: options.cancelGrace,
          jobTypes: options.jobTypes,
          handledTypes: Array.from(definitions, ([jobType, { timeout, retry }]) => ({
            jobType,
            timeoutMs: timeout,
            retry: numbersOf(retry),
          })),
          leavesUnknown: options.unknownTypes === 'leave',
          removeOnComplete: options.removeOnComplete,
        },
        hearing(new WeakRef(this)),
      ),
    );
    this.runs = new HandlerRuns(
      definitions,
      (outcomes) => this.processor.settle(outcomes),
      {
        begun: (count) => this.processor.begun(count),
        begunLate: (id, runNo) => this.processor.begunLate(id, runNo),
        extendTimeout: (id, runNo, ms) => this.processor.extendTimeout(id, runNo, ms),
        completeIn: (client, id, runNo) => {
          this.processor.settledByHandler(id, runNo);
          return home.completeIn(client, id, runNo, options.removeOnComplete);
        },
      },
      {
        failed: (error, run) => {
          const { onJobFailed } = options;
          this.inContext(() => void tell('onJobFailed', onJobFailed, error, run));
        },
        report: (error) => this.report(error),
      },
      this.log,
    );
    bindMethods(this, METHODS);
  }

  async start(): Promise<number> {
    this.home.refuseIfClosed('start');
    this.refuseIfBusy('start');
    // A handler run by a route may use objects of the route's request.
    this.inContext = AsyncLocalStorage.snapshot();
    const ran = await this.keep('batch', call(this.processor.start()));
    this.log?.(`${this.workerName} ran ${ran} jobs`);
    return ran;
  }

  /**
   * Runs jobs until none is due, or until `timeMs` milliseconds are over. Then writes their outcomes, for
   * `lastWordsMs` milliseconds at the most.
   */
  async runUntilEmpty(timeMs: number, lastWordsMs: number): Promise<Tally> {
    this.home.refuseIfClosed('start');
    this.refuseIfBusy('start');
    this.inContext = AsyncLocalStorage.snapshot();
    const tally = await this.keep('batch', call(this.processor.runUntilEmpty(timeMs, lastWordsMs)));
    this.log?.(
      `${this.workerName} ran until nothing was due, or its time was up: ${inLine(tally)}`,
    );
    return JSON.parse(tally) as Tally;
  }

  startInBackground(): void {
    this.home.refuseIfClosed('startInBackground');
    if (this.mode === 'background') return;
    if (this.mode === 'batch') this.refuseIfBusy('startInBackground');
    if (this.engine !== null) {
      // It was stopped, and has not ended yet.
      this.startAgain = true;
      return;
    }
    this.inContext = outsideOfRequests;
    const ended = this.keep('background', call(this.processor.runInBackground()));
    // The error that it ends with was reported when it happened.
    ended.catch(() => {});
    this.log?.(`${this.workerName} runs in the background`);
  }

  stop(): void {
    this.startAgain = false;
    if (this.engine === null) return;
    this.mode = 'stopping';
    this.processor.stop();
  }

  async stopAndDrain(timeoutMs?: number): Promise<void> {
    const timeout = parseDrainTimeout(timeoutMs);
    const { engine } = this;
    this.stop();
    if (engine === null) return;
    void this.handBackCaller();
    await this.drain(timeout);
    await engine.catch(() => {});
  }

  /**
   * A handler that waits for the end of its own processor would wait for itself. If the caller is one of the runs, its
   * job is handed back as soon as the others have ended.
   */
  async handBackCaller(): Promise<void> {
    const { engine } = this;
    if (engine === null || !this.runs.leaveCallerBehind()) return;
    await this.runs.othersEnded();
    // Another engine may have begun meanwhile, and that one was not stopped.
    if (this.engine === engine) await this.drain(0);
  }

  /** Hands back the jobs that have not ended after `timeoutMs` milliseconds. */
  private drain(timeoutMs: number): Promise<void> {
    // A job that has ended just now is not handed back.
    this.runs.flush();
    return call(this.processor.drain(timeoutMs));
  }

  isRunning(): boolean {
    return this.mode !== 'stopping' || this.startAgain;
  }

  private get workerName(): string {
    return inLine(this.options.workerId);
  }

  private async keep<T>(mode: 'batch' | 'background', engine: Promise<T>): Promise<T> {
    this.mode = mode;
    this.engine = engine;
    this.runs.engineBegan();
    this.home.running.add(this);
    const report = (error: JobQueueError) => this.report(error);
    const ended = mode === 'background' ? this.home.background.begin(report) : null;
    try {
      return await engine;
    } finally {
      this.mode = 'stopping';
      this.engine = null;
      this.runs.engineEnded();
      this.home.running.delete(this);
      ended?.();
      if (this.startAgain) {
        this.startAgain = false;
        this.startInBackground();
      }
    }
  }

  private refuseIfBusy(method: string): void {
    if (this.engine === null) return;
    throw new JobQueueError(
      'INVALID_ARGUMENT',
      `${method}: this processor is already running; to run two at a time, create two`,
    );
  }

  hear(message: Message): void {
    switch (message.kind) {
      case 'run':
        this.inContext(() => this.runs.begin(message.jobs, message.sentAt));
        break;
      case 'abort': {
        const reason = toJobQueueError(message.error);
        // A lost lease ends a run only if the lease was given back. If no other worker has taken the job when its
        // handler ends, the outcome still counts.
        const over = reason.code !== 'LEASE_LOST' || this.mode === 'stopping';
        this.runs.abort(message.id, message.runNo, reason, { over, failed: message.failed });
        break;
      }
      case 'settledByHandler':
        this.runs.settledByHandler(message.id, message.runNo, message.committed);
        break;
      case 'error':
        this.report(toJobQueueError(message.error));
        break;
    }
  }

  private report(error: JobQueueError): void {
    void tell('onError', this.options.onError, error);
  }
}

/** The definitions, each with the fields of the processor's retry policy that its own lacks. */
function withPolicy(definitions: Definitions, retry: ParsedRetry): Definitions {
  const each = Array.from(definitions, ([jobType, definition]) => {
    return [jobType, { ...definition, retry: policyOf(definition.retry, retry) }] as const;
  });
  return new Map(each);
}

/**
 * Makes the function that the engine calls with its messages. The native processor keeps this function alive, so the
 * function must not keep the native processor alive, not even by a scope that it shares with other functions. While an
 * engine runs, the promise of its end keeps the processor alive.
 */
function hearing(processor: WeakRef<JobProcessor>): (message: string) => void {
  return (message) => processor.deref()?.hear(JSON.parse(message) as Message);
}
