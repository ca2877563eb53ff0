/**
 * One route that does everything: for a platform's cron to call, in an app that has no process that
 * stays. It speaks the web's `Request` and `Response`, as Next.js, Hono, Bun, Deno and others do.
 */

import { boolean, number, options, refuse, refuseValue } from './arguments/check.js';
import {
  parseHandlers,
  parseProcessorOptions,
  refuseUnhandled,
  SHARED_OPTIONS,
} from './arguments/processor.js';
import { JobQueueError } from './errors.js';
import { crypto } from './lazy.js';
import { QUEUE_INTERNALS, type QueueInternals } from './queue.js';
import { toDate } from './record.js';
import { causedByUser, tell } from './report.js';
import { type Work, work } from './route-run.js';
import { now, setImmediate } from './timers.js';
import type { JobHandlers, JobQueue, ProcessorOptions } from './types.js';

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

const OPTIONS = ['maxDuration', 'grace', 'secret', 'reclaim', 'daysToKeep', ...SHARED_OPTIONS];
const MAX_DURATION = 86_400;
const MAX_GRACE = 10;
/** How often it looks for jobs that were added elsewhere, while something runs. Milliseconds. */
const POLL_INTERVAL = 1_000;
/** So much of the grace may pass before the answer; the rest is for the answer itself. */
const PATIENT_PART = 0.9;
/** So many milliseconds in any case: even with no grace, what is handed back has to be written. */
const LEAST_PATIENCE = 250;

/**
 * Makes the handlers of a route that processes jobs until none is due or the time is nearly up, puts back
 * what is stuck, and deletes what is old. It stops claiming when jobs of a type usually take longer
 * than is left. At the deadline, the signals of what runs abort with `DEADLINE`, and those jobs are
 * pending again, behind what is due; the attempt counts if the run had at least half of the invocation.
 * Nothing in a request changes how much is run.
 *
 * ```ts
 * // app/api/cron/jobs/route.ts
 * export const maxDuration = 60;
 * export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration });
 * ```
 *
 * Answers 200 with a `RouteResult`, 401 without the secret, and 500 with `{ error, message }` if jobs
 * cannot be run: because the database cannot be reached, or (`DEADLINE`) does not answer within the
 * `grace`. What else could not be done, or not in time, is `null` in the result. Both are told to `onError`.
 * Throws `INVALID_ARGUMENT`.
 */
export function createRouteHandler<PayloadMap>(
  getQueue: () => JobQueue<PayloadMap> | Promise<JobQueue<PayloadMap>>,
  handlers: JobHandlers<PayloadMap>,
  options: RouteHandlerOptions = {},
): { GET: RouteHandler; POST: RouteHandler } {
  const settings = parseOptions(options);
  if (typeof getQueue !== 'function') {
    refuseValue(METHOD, 'getQueue', 'a function that gives the queue', getQueue);
  }
  refuseUnhandled(settings.processor, parseHandlers(handlers, METHOD), METHOD);

  const handle: RouteHandler = async (request) => {
    const startedAt = now();
    if (!isAuthorized(request, settings.secret)) {
      return Response.json({ error: 'UNAUTHORIZED' }, { status: 401 });
    }
    const { time, grace, reclaim, daysToKeep, processor } = settings;
    const deadline = startedAt + time;
    const told = new Set<string>();
    const onError = (error: JobQueueError) => {
      told.add(error.message);
      void tell('onError', processor.onError, error);
    };
    try {
      const done = await work({
        queue: internalsOf(await getQueue()),
        handlers,
        options: { ...processor, onError },
        reclaim,
        daysToKeep,
        deadline,
        answerBy: deadline + Math.max(grace * PATIENT_PART, LEAST_PATIENCE),
        onError,
      });
      return Response.json(resultOf(done));
    } catch (thrown) {
      const error =
        thrown instanceof JobQueueError
          ? thrown
          : causedByUser('INVALID_ARGUMENT', 'getQueue failed', thrown);
      // What an engine ends with it has reported, and that may arrive in the same turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      if (!told.has(error.message)) onError(error);
      return Response.json({ error: error.code, message: error.message }, { status: 500 });
    }
  };
  return { GET: handle, POST: handle };
}

const METHOD = 'createRouteHandler';

interface Settings {
  /** Milliseconds from the request to the deadline. */
  time: number;
  /** Milliseconds from the deadline to the end of the invocation. */
  grace: number;
  secret: string | undefined;
  reclaim: boolean;
  daysToKeep: number | false;
  processor: ReturnType<typeof parseProcessorOptions>;
}

function parseOptions(given: unknown): Settings {
  const {
    maxDuration = 60,
    grace,
    secret,
    reclaim = true,
    daysToKeep = 30,
    ...shared
  } = options(METHOD, 'options', given, OPTIONS);
  const seconds = number(METHOD, 'maxDuration', maxDuration, 1, MAX_DURATION);
  const margin = grace ?? Math.min(seconds / 10, MAX_GRACE);
  if (secret !== undefined && typeof secret !== 'string') {
    // The value is not for a message.
    refuse(METHOD, 'secret must be a string');
  }
  const graceSeconds = number(METHOD, 'grace', margin, 0, seconds);
  return {
    time: 1000 * (seconds - graceSeconds),
    grace: 1000 * graceSeconds,
    secret,
    reclaim: boolean(METHOD, 'reclaim', reclaim),
    daysToKeep: daysToKeep === false ? false : number(METHOD, 'daysToKeep', daysToKeep, 0, 1e6),
    processor: parseProcessorOptions({ ...shared, pollInterval: POLL_INTERVAL }, METHOD),
  };
}

let toldOfMissingSecret = false;

/** Both are hashed, so that they are of one length, and comparing them takes the same time whatever they are. */
function isAuthorized(request: Request, secret = process.env.CRON_SECRET): boolean {
  if (!secret) {
    if (!toldOfMissingSecret) {
      console.error(
        'pg-bg-job-queue: createRouteHandler refuses every request, because neither the option secret ' +
          'nor the environment variable CRON_SECRET is set',
      );
    }
    toldOfMissingSecret = true;
    return false;
  }
  const { createHash, timingSafeEqual } = crypto();
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const given = request.headers.get('authorization') ?? '';
  return timingSafeEqual(digest(given), digest(`Bearer ${secret}`));
}

function internalsOf(queue: unknown): QueueInternals {
  const internals = (queue as { [QUEUE_INTERNALS]?: () => QueueInternals } | null | undefined)?.[
    QUEUE_INTERNALS
  ];
  if (typeof internals === 'function') return internals.call(queue);
  return refuse(METHOD, 'getQueue must give what initJobQueue resolves to');
}

function resultOf({ tally, reclaimed, deleted, backlog }: Work): RouteResult {
  const nextDueAt = backlog?.nextDueAt ?? null;
  return {
    processed: tally.started,
    completed: tally.completed,
    failed: tally.failed,
    cancelled: tally.cancelled,
    handedBack: tally.released,
    didNotFit: tally.didNotFit.map(({ id, jobType }) => ({ id, job_type: jobType })),
    notClaimed: backlog?.waiting ?? tally.notClaimed,
    reclaimed,
    deleted,
    left: backlog?.due ?? null,
    nextDueAt: nextDueAt === null ? null : toDate(nextDueAt).toISOString(),
  };
}
