// What `createRouteHandler` takes, and what its route answers.

import type { ProcessorOptions } from '../processor/types.js';

/** What `createRouteHandler` takes, besides the options of a processor. */
export interface RouteHandlerOptions extends Omit<ProcessorOptions, 'pollInterval' | 'batchSize'> {
  /**
   * The seconds that the platform gives an invocation: the route's own `maxDuration`. 1 to 86,400,
   * fractions are allowed. Default 60.
   */
  maxDuration?: number | undefined;
  /**
   * The seconds before that at which what still runs is handed back, so that there is time to say so. The
   * answer waits for the database for nine tenths of them at the most, or for a quarter of a second.
   * 0 to `maxDuration`. Default a tenth of `maxDuration`, 10 at the most.
   */
  grace?: number | undefined;
  /**
   * What a request must carry as `Authorization: Bearer <secret>`. Default: the environment variable
   * `CRON_SECRET`, read at each request. Where it is missing or empty, every request is refused.
   */
  secret?: string | undefined;
  /** Whether to call `reclaimStuckJobs()`. Default `true`. */
  reclaim?: boolean | undefined;
  /** Delete completed jobs that are older than so many days; `false` keeps them. Default 30. */
  daysToKeep?: number | false | undefined;
}

/** What the route answers, as JSON. */
export interface RouteResult {
  /** Jobs whose handlers were started. */
  processed: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** Jobs that were claimed and put back, because the time was up or would not have sufficed. */
  handedBack: number;
  /** Jobs that were begun, had not ended at the deadline, and were put back. */
  didNotFit: { id: number; job_type: string }[];
  /**
   * Types of which jobs are due and none was begun any more, since they usually take longer than was left. If
   * `left` is `null`, whether any are due is not known.
   */
  notClaimed: string[];
  /** Jobs that were stuck and were put back; `null` if that failed or took too long. */
  reclaimed: number | null;
  /** Old jobs that were deleted, as far as it is known; `null` if that failed or took too long. */
  deleted: number | null;
  /** Jobs that are due and wait, counted up to 10,000 of a priority; `null` if that is not known. */
  left: number | null;
  /**
   * When the next job is due that is not due yet, in ISO 8601; `null` if none is planned, or if `left` is
   * `null`.
   */
  nextDueAt: string | null;
}

/** A function for a route file to export. */
export type RouteHandler = (request: Request) => Promise<Response>;
