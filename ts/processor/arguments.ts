/** The arguments of `createProcessor` and of the processor's methods, checked and completed. */

import { crypto } from '../basics/lazy.js';
import { quoted } from '../basics/text.js';
import { boolean, callable, INT4_MAX, integer, name, oneOf } from '../checks/checks.js';
import { argument, type Given, refuseArgument, refuseValue } from '../checks/given.js';
import { isPlain } from '../checks/kind.js';
import { object, options } from '../checks/options.js';
import { suggest } from '../checks/spelling.js';
import type { JobQueueError } from '../errors/job-queue-error.js';
import type { JobContext } from './job-context.js';
import { printError, printFailedJob } from './report.js';
import { type ParsedRetry, parseRetry } from './retry.js';
import type { JobDefinition, ProcessorOptions } from './types.js';

/** `ProcessorOptions`, complete. */
export interface ParsedProcessorOptions {
  workerId: string;
  batchSize: number;
  concurrency: number;
  /** Milliseconds. */
  pollInterval: number;
  onError: (error: JobQueueError) => void;
  onJobFailed: (error: unknown, job: JobContext) => void;
  /** `null`: as the queue does. */
  verbose: boolean | null;
  /** Each type once; `null`: all types. */
  jobTypes: string[] | null;
  retry: ParsedRetry;
  unknownTypes: UnknownTypes;
  removeOnComplete: boolean;
  /** Milliseconds. */
  leaseDuration: number;
  /** Milliseconds; `null`: no limit. */
  defaultTimeout: number | null;
  /** Milliseconds. */
  cancelGrace: number;
}

/** A handler as the processor calls it, without the type of its payload. */
export type AnyHandler = (payload: unknown) => unknown;

/** `JobDefinition`, complete. */
export interface ParsedDefinition {
  run: AnyHandler;
  retry: ParsedRetry;
  /** Milliseconds; `null`: as the processor says. */
  timeout: number | null;
}

/** The definitions by job type. */
export type Definitions = ReadonlyMap<string, ParsedDefinition>;

type UnknownTypes = NonNullable<ProcessorOptions['unknownTypes']>;
const UNKNOWN_TYPES: readonly UnknownTypes[] = ['leave', 'fail'];

const METHOD = 'createProcessor';

/** The options that `createRouteHandler` takes too. */
export const SHARED_OPTIONS = Object.keys({
  workerId: true,
  concurrency: true,
  onError: true,
  onJobFailed: true,
  verbose: true,
  jobType: true,
  retry: true,
  unknownTypes: true,
  removeOnComplete: true,
  leaseDuration: true,
  defaultTimeout: true,
  cancelGrace: true,
} satisfies Record<Exclude<keyof ProcessorOptions, 'batchSize' | 'pollInterval'>, true>);
const OPTIONS = [...SHARED_OPTIONS, 'batchSize', 'pollInterval'];

const MAX_BATCH_SIZE = 10_000;
const MAX_CONCURRENCY = 10_000;
const MAX_POLL_INTERVAL = 86_400_000;
const MIN_LEASE = 1_000;
const MAX_LEASE = 86_400_000;
const DEFAULT_DRAIN_TIMEOUT = 30_000;

/** Checks the options of `createProcessor`. */
export function parseProcessorOptions(
  given: unknown = {},
  method = METHOD,
): ParsedProcessorOptions {
  const {
    workerId = `worker-${crypto().randomUUID().slice(0, 13)}`,
    batchSize = 10,
    concurrency = 3,
    pollInterval = 5_000,
    onError = printError,
    onJobFailed = printFailedJob,
    verbose,
    jobType,
    retry,
    unknownTypes = 'leave',
    removeOnComplete = false,
    leaseDuration = 30_000,
    defaultTimeout = null,
    cancelGrace = 5_000,
  } = options(argument(method, 'options', given), OPTIONS);
  return {
    workerId: name(argument(method, 'workerId', workerId)),
    batchSize: integer(argument(method, 'batchSize', batchSize), 1, MAX_BATCH_SIZE),
    concurrency: integer(argument(method, 'concurrency', concurrency), 1, MAX_CONCURRENCY),
    pollInterval: integer(argument(method, 'pollInterval', pollInterval), 1, MAX_POLL_INTERVAL),
    onError: callable(argument(method, 'onError', onError)),
    onJobFailed: callable(argument(method, 'onJobFailed', onJobFailed)),
    verbose: verbose === undefined ? null : boolean(argument(method, 'verbose', verbose)),
    jobTypes: jobType === undefined ? null : parseJobTypes(method, jobType),
    retry: parseRetry(method, 'retry', retry),
    unknownTypes: oneOf(argument(method, 'unknownTypes', unknownTypes), UNKNOWN_TYPES),
    removeOnComplete: boolean(argument(method, 'removeOnComplete', removeOnComplete)),
    leaseDuration: integer(argument(method, 'leaseDuration', leaseDuration), MIN_LEASE, MAX_LEASE),
    defaultTimeout: parseTimeout(argument(method, 'defaultTimeout', defaultTimeout)),
    cancelGrace: integer(argument(method, 'cancelGrace', cancelGrace), 0, INT4_MAX),
  };
}

function parseTimeout(given: Given): number | null {
  return given.value === null ? null : integer(given, 1, INT4_MAX);
}

function parseJobTypes(method: string, jobType: unknown): string[] {
  if (!Array.isArray(jobType)) return [name(argument(method, 'jobType', jobType))];
  if (jobType.length === 0) {
    refuseArgument(method, 'jobType must have at least one type, got an empty array');
  }
  const each = jobType.map((type: unknown, at) => name(argument(method, `jobType[${at}]`, type)));
  return [...new Set(each)];
}

/**
 * Checks the handlers and definitions, which are the object's own and enumerable members, and gives them by job type.
 * They come in a map, so that a job of the type `constructor` or `__proto__` finds no handler either.
 */
export function parseHandlers(handlers: unknown, method = METHOD): Definitions {
  const given = argument(method, 'handlers', handlers);
  const members = object(given);
  const byType = new Map<string, ParsedDefinition>();
  for (const [type, handler] of Object.entries(members)) {
    byType.set(type, parseDefinition(method, `handlers[${quoted(type)}]`, handler));
  }
  // A `Map`, or an object whose methods are its class's: without a handler, every job would fail.
  if (byType.size === 0 && !isPlain(members)) {
    refuseValue(given, 'an object with functions of its own by job type', 'an instance of a class');
  }
  return byType;
}

const DEFINITION = Object.keys({
  run: true,
  retry: true,
  timeout: true,
} satisfies Record<keyof JobDefinition<unknown, never>, true>);

function parseDefinition(method: string, name: string, handler: unknown): ParsedDefinition {
  const given = argument(method, name, handler);
  if (typeof handler !== 'object' || handler === null) {
    const run = callable(given, 'a function, or an object with a function `run`');
    return { run, retry: parseRetry(method, name, undefined), timeout: null };
  }
  const { run, retry, timeout = null } = options(given, DEFINITION, 'field');
  return {
    run: callable(argument(method, `${name}.run`, run)),
    retry: parseRetry(method, `${name}.retry`, retry),
    timeout: parseTimeout(argument(method, `${name}.timeout`, timeout)),
  };
}

/** Refuses a job type that the processor is to take and that has no handler: none of its jobs could run. */
export function refuseUnhandled(
  { jobTypes }: ParsedProcessorOptions,
  handlers: Definitions,
  method = METHOD,
): void {
  for (const type of jobTypes ?? []) {
    if (handlers.has(type)) continue;
    refuseArgument(
      method,
      `jobType ${quoted(type)} has no handler${suggest(type, handlers.keys())}`,
    );
  }
}

/** Checks how many milliseconds `stopAndDrain` waits at the most. */
export function parseDrainTimeout(value: unknown = DEFAULT_DRAIN_TIMEOUT): number {
  return integer(argument('stopAndDrain', 'timeoutMs', value), 0, INT4_MAX);
}
