// A route: the options of `createRouteHandler`, and the answer.

import type { ProcessorOptions } from '../processor/types.js';

/** The options of `createRouteHandler`: those of a processor, without `pollInterval` and `batchSize`, and these. */
export interface RouteHandlerOptions extends Omit<ProcessorOptions, 'pollInterval' | 'batchSize'> {
  /**
   * How many seconds the platform gives an invocation: the `maxDuration` that the route file exports. 1 to 86,400,
   * fractions are allowed. Default 60.
   */
  maxDuration?: number | undefined;
  /**
   * How many seconds before the end of the invocation the jobs that still run are handed back. In this time the route
   * writes the outcomes and answers: it waits for the database for nine tenths of it, or a quarter of a second if that
   * is longer. 0 to `maxDuration`, fractions are allowed. Default: a tenth of `maxDuration`, from
   * 0.3 to 10.
   */
  grace?: number | undefined;
  /**
   * The secret that a request must carry as `Authorization: Bearer <secret>`. Default: the environment variable
   * `CRON_SECRET`, read at each request. If there is no secret, or an empty one, every request is refused.
   */
  secret?: string | undefined;
  /** Whether to call `reclaimStuckJobs()`. Default `true`. */
  reclaim?: boolean | undefined;
  /**
   * Delete completed jobs that were last updated more than this many days ago: 0 to 1,000,000, fractions are allowed.
   * `false` keeps them. Default: `retention.completed` of `initJobQueue`, else 30. Failed and cancelled jobs are deleted
   * as `retention` says.
   */
  daysToKeep?: number | false | undefined;
}

/** The route's answer, as JSON. */
export interface RouteResult {
  /** How many jobs ran: those whose handlers were started. */
  processed: number;
  /** How many of them completed. */
  completed: number;
  /** How many of them failed. */
  failed: number;
  /** How many of them were cancelled. */
  cancelled: number;
  /**
   * How many jobs were claimed and put back, because the time was up or would not have been enough, or because their
   * type has no handler here.
   */
  handedBack: number;
  /** The jobs that their handlers put off. */
  snoozed: number;
  /** The jobs that had started, had not ended at the deadline, and were put back. */
  didNotFit: { id: number; job_type: string }[];
  /**
   * The types of jobs that the route did not start any more, because they usually take longer than the time that was
   * left. Jobs of these types are due; if `left` is `null`, that is not known.
   */
  notClaimed: string[];
  /** How many stuck jobs were put back; `null` if that failed or took too long. */
  reclaimed: number | null;
  /** How many old jobs were deleted, as far as the route knows; `null` if that failed or took too long. */
  deleted: number | null;
  /**
   * How many jobs are due, counted up to 10,000 of each priority, also of types without a handler here; `null` if that
   * is not known.
   */
  left: number | null;
  /**
   * When the next job will be due, in ISO 8601; `null` if none is planned, or if `left` is `null`.
   */
  nextDueAt: string | null;
}

/** Handles a request. A route file exports it. */
export type RouteHandler = (request: Request) => Promise<Response>;
