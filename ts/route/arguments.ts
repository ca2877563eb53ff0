/** The arguments of `createRouteHandler`, checked and completed. */

import { boolean, callable, number, string } from '../checks/checks.js';
import { argument, refuseArgument } from '../checks/given.js';
import { options } from '../checks/options.js';
import {
  type ParsedProcessorOptions,
  parseHandlers,
  parseProcessorOptions,
  refuseUnhandled,
  SHARED_OPTIONS,
} from '../processor/arguments.js';
import type { ProcessorOptions } from '../processor/types.js';
import { parseDays } from '../queue/arguments.js';
import type { RouteHandlerOptions } from './types.js';

/** `RouteHandlerOptions`, complete. */
export interface ParsedRouteOptions {
  /** Milliseconds from the request to the deadline. */
  time: number;
  /** Milliseconds from the deadline to the end of the invocation. */
  grace: number;
  /** `undefined`: read `CRON_SECRET` at each request. */
  secret: string | undefined;
  reclaim: boolean;
  /** `undefined`: as the queue says. */
  daysToKeep: number | false | undefined;
  processor: ParsedProcessorOptions;
}

const METHOD = 'createRouteHandler';
const OWN_OPTIONS = Object.keys({
  maxDuration: true,
  grace: true,
  secret: true,
  reclaim: true,
  daysToKeep: true,
} satisfies Record<Exclude<keyof RouteHandlerOptions, keyof ProcessorOptions>, true>);
const OPTIONS = [...OWN_OPTIONS, ...SHARED_OPTIONS];
const MAX_DURATION = 86_400;
/** The limits of the default of `grace`: within the least, the route can write what it hands back, and answer. */
const LEAST_GRACE = 0.3;
const MAX_GRACE = 10;
/** How often a route looks for jobs that were added elsewhere while some of its own run, in milliseconds. */
const POLL_INTERVAL = 1_000;

/** Checks the options of `createRouteHandler`. */
export function parseRouteOptions(given: unknown): ParsedRouteOptions {
  const {
    maxDuration = 60,
    grace,
    secret,
    reclaim = true,
    daysToKeep,
    ...shared
  } = options(argument(METHOD, 'options', given), OPTIONS);
  const seconds = number(argument(METHOD, 'maxDuration', maxDuration), 1, MAX_DURATION);
  const margin = grace ?? Math.max(Math.min(seconds / 10, MAX_GRACE), LEAST_GRACE);
  const graceSeconds = number(argument(METHOD, 'grace', margin), 0, seconds);
  return {
    time: 1000 * (seconds - graceSeconds),
    grace: 1000 * graceSeconds,
    secret:
      secret === undefined
        ? undefined
        : string({ ...argument(METHOD, 'secret', secret), secret: true }),
    reclaim: boolean(argument(METHOD, 'reclaim', reclaim)),
    daysToKeep:
      daysToKeep === undefined || daysToKeep === false ? daysToKeep : parseDays(METHOD, daysToKeep),
    processor: parseProcessorOptions({ ...shared, pollInterval: POLL_INTERVAL }, METHOD),
  };
}

/** Checks the other arguments: the function that gives the queue, and the handlers. */
export function checkRouteArguments(
  getQueue: unknown,
  handlers: unknown,
  processor: ParsedProcessorOptions,
): void {
  callable(argument(METHOD, 'getQueue', getQueue), 'a function that gives the queue');
  refuseUnhandled(processor, parseHandlers(handlers, METHOD), METHOD);
}

/** Refuses the value that `getQueue` gave. */
export function refuseQueue(): never {
  refuseArgument(METHOD, 'getQueue must give a queue that initJobQueue has opened');
}
