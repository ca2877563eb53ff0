/** What `createProcessor` and the processor's methods make of their arguments. See `queue.ts`. */

import { crypto } from '../basics/lazy.js';
import {
  boolean,
  INT4_MAX,
  integer,
  name,
  object,
  options,
  quoted,
  refuse,
  refuseValue,
} from '../checks/check.js';
import { suggest } from '../checks/spelling.js';
import type { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';
import { printError, printFailedJob } from './report.js';
import type { ProcessorOptions } from './types.js';

/** `ProcessorOptions`, complete. */
export interface ParsedProcessorOptions {
  workerId: string;
  batchSize: number;
  concurrency: number;
  /** Milliseconds. */
  pollInterval: number;
  onError: (error: JobQueueError) => void;
  onJobFailed: (error: unknown, job: JobContext) => void;
  /** `null` = as the queue says. */
  verbose: boolean | null;
  /** Each one once; `null` = all. */
  jobTypes: string[] | null;
  removeOnComplete: boolean;
  /** Milliseconds. */
  leaseDuration: number;
  /** Milliseconds; `null` = no limit. */
  defaultTimeout: number | null;
  /** Milliseconds. */
  cancelGrace: number;
}

/** A handler as the processor calls it: it knows nothing of the payload's type. */
export type AnyHandler = (payload: unknown) => unknown;

const METHOD = 'createProcessor';
/** Those that `createRouteHandler` takes too. */
export const SHARED_OPTIONS: readonly (keyof ProcessorOptions)[] = [
  'workerId',
  'concurrency',
  'onError',
  'onJobFailed',
  'verbose',
  'jobType',
  'removeOnComplete',
  'leaseDuration',
  'defaultTimeout',
  'cancelGrace',
];
const OPTIONS = [...SHARED_OPTIONS, 'batchSize', 'pollInterval'];

const MAX_BATCH_SIZE = 10_000;
const MAX_CONCURRENCY = 10_000;
const MAX_POLL_INTERVAL = 86_400_000;
const MIN_LEASE = 1_000;
const MAX_LEASE = 86_400_000;
const DEFAULT_DRAIN_TIMEOUT = 30_000;

/** Checks the options of `createProcessor`. */
export function parseProcessorOptions(given: unknown, method = METHOD): ParsedProcessorOptions {
  const {
    workerId = `worker-${crypto().randomUUID().slice(0, 13)}`,
    batchSize = 10,
    concurrency = 3,
    pollInterval = 5_000,
    onError = printError,
    onJobFailed = printFailedJob,
    verbose,
    jobType,
    removeOnComplete = false,
    leaseDuration = 30_000,
    defaultTimeout = null,
    cancelGrace = 5_000,
  } = options(method, 'options', given === undefined ? {} : given, OPTIONS);
  return {
    workerId: name(method, 'workerId', workerId),
    batchSize: integer(method, 'batchSize', batchSize, 1, MAX_BATCH_SIZE),
    concurrency: integer(method, 'concurrency', concurrency, 1, MAX_CONCURRENCY),
    pollInterval: integer(method, 'pollInterval', pollInterval, 1, MAX_POLL_INTERVAL),
    onError: isFunction(onError) ? onError : refuseValue(method, 'onError', 'a function', onError),
    onJobFailed: isFunction(onJobFailed)
      ? onJobFailed
      : refuseValue(method, 'onJobFailed', 'a function', onJobFailed),
    verbose: verbose === undefined ? null : boolean(method, 'verbose', verbose),
    jobTypes: jobType === undefined ? null : parseJobTypes(method, jobType),
    removeOnComplete: boolean(method, 'removeOnComplete', removeOnComplete),
    leaseDuration: integer(method, 'leaseDuration', leaseDuration, MIN_LEASE, MAX_LEASE),
    defaultTimeout:
      defaultTimeout === null
        ? null
        : integer(method, 'defaultTimeout', defaultTimeout, 1, INT4_MAX),
    cancelGrace: integer(method, 'cancelGrace', cancelGrace, 0, INT4_MAX),
  };
}

function isFunction(value: unknown): value is (...args: unknown[]) => void {
  return typeof value === 'function';
}

function parseJobTypes(method: string, jobType: unknown): string[] {
  if (!Array.isArray(jobType)) return [name(method, 'jobType', jobType)];
  if (jobType.length === 0)
    refuse(method, 'jobType must have at least one type, got an empty array');
  const each = jobType.map((type: unknown, at) => name(method, `jobType[${at}]`, type));
  return [...new Set(each)];
}

/**
 * Checks the handlers and gives them by job type: the object's own and enumerable members. A map,
 * so that a job of the type `constructor` or `__proto__` finds no handler either.
 */
export function parseHandlers(handlers: unknown, method = METHOD): Map<string, AnyHandler> {
  const given = object(method, 'handlers', handlers);
  const byType = new Map<string, AnyHandler>();
  for (const [type, handler] of Object.entries(given)) {
    if (!isHandler(handler))
      refuseValue(method, `handlers[${quoted(type)}]`, 'a function', handler);
    byType.set(type, handler);
  }
  if (byType.size === 0 && isClassInstance(given)) {
    refuse(
      method,
      'handlers must have functions of its own by job type, got an instance of a class',
    );
  }
  return byType;
}

/** Refuses a type that is to be taken and has no handler: each job of it would fail. */
export function refuseUnhandled(
  { jobTypes }: ParsedProcessorOptions,
  handlers: ReadonlyMap<string, AnyHandler>,
  method = METHOD,
): void {
  for (const type of jobTypes ?? []) {
    if (handlers.has(type)) continue;
    refuse(method, `jobType ${quoted(type)} has no handler${suggest(type, handlers.keys())}`);
  }
}

/** A `Map`, or an object whose methods are its class's: to take it for empty would fail every job. */
function isClassInstance(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null;
}

function isHandler(value: unknown): value is AnyHandler {
  return typeof value === 'function';
}

/** Checks how many milliseconds `stopAndDrain` waits at the most. */
export function parseDrainTimeout(value: unknown = DEFAULT_DRAIN_TIMEOUT): number {
  return integer('stopAndDrain', 'timeoutMs', value, 0, INT4_MAX);
}
