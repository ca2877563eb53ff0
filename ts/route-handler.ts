/**
 * One route that does everything: for a platform's cron to call, in an app that has no process that
 * stays. It speaks the web's `Request` and `Response`, as Next.js, Hono, Bun, Deno and others do.
 */

import { boolean, number, object, options, refuse, refuseValue } from './arguments/check.js';
import { parseProcessorOptions, SHARED_OPTIONS } from './arguments/processor.js';
import { crypto } from './crypto.js';
import { JobQueueError } from './errors.js';
import { QUEUE_INTERNALS, type QueueInternals } from './queue.js';
import type { JobHandlers, JobQueue, ProcessorOptions } from './types.js';

/** What `createRouteHandler` takes, besides the options of a processor. */
export interface RouteHandlerOptions extends Omit<ProcessorOptions, 'pollInterval' | 'batchSize'> {
  /**
   * The seconds that the platform gives an invocation: the route's own `maxDuration`. 1 to 86,400,
   * fractions are allowed. Default 60.
   */
  maxDuration?: number | undefined;
  /**
   * The seconds before that at which what still runs is handed back, so that there is time to say so.
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
  reclaimed: number;
  deleted: number;
  /** Jobs that are due and wait, counted up to 10,000 of a priority. */
  left: number;
  /** When the next job is due that is not due yet, in ISO 8601; `null` if none is planned. */
  nextDueAt: string | null;
}

/** A function for a route file to export. */
export type RouteHandler = (request: Request) => Promise<Response>;

const OPTIONS = ['maxDuration', 'grace', 'secret', 'reclaim', 'daysToKeep', ...SHARED_OPTIONS];
const MAX_DURATION = 86_400;
const MAX_GRACE = 10;
/** How often it looks for jobs that were added elsewhere, while something runs. Milliseconds. */
const POLL_INTERVAL = 1_000;

/**
 * Makes the handlers of a route that processes jobs until none is due or the time is nearly up, puts back
 * what is stuck, and deletes what is old. It stops claiming when jobs of a type usually take longer
 * than is left; at the deadline, the signals of what runs abort with `DEADLINE`, and those jobs are
 * pending again, the attempt not counted. Nothing in a request changes how much is run.
 *
 * ```ts
 * // app/api/cron/jobs/route.ts
 * export const maxDuration = 60;
 * export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration });
 * ```
 *
 * Answers 200 with a `RouteResult`, 401 without the secret, and 500 with `{ error, message }` if the
 * database cannot be reached; that is told to `onError` too. Throws `INVALID_ARGUMENT`.
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
  object(METHOD, 'handlers', handlers);

  const handle: RouteHandler = async (request) => {
    const startedAt = performance.now();
    if (!isAuthorized(request, settings.secret)) {
      return Response.json({ error: 'UNAUTHORIZED' }, { status: 401 });
    }
    try {
      const queue = internalsOf(await getQueue());
      const deadline = startedAt + settings.time;
      return Response.json(await work(queue, handlers, settings, deadline));
    } catch (thrown) {
      const error =
        thrown instanceof JobQueueError
          ? thrown
          : new JobQueueError('INVALID_ARGUMENT', 'getQueue failed', { cause: thrown });
      settings.processor.onError(error);
      return Response.json({ error: error.code, message: error.message }, { status: 500 });
    }
  };
  return { GET: handle, POST: handle };
}

const METHOD = 'createRouteHandler';

interface Settings {
  /** Milliseconds from the request to the deadline. */
  time: number;
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
  return {
    time: 1000 * (seconds - number(METHOD, 'grace', margin, 0, seconds)),
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

async function work(
  queue: QueueInternals,
  handlers: unknown,
  settings: Settings,
  deadline: number,
): Promise<RouteResult> {
  const reclaimed = settings.reclaim ? await queue.reclaimStuckJobs() : 0;
  const processor = queue.createProcessor(handlers, settings.processor);
  const timeLeft = () => Math.max(0, Math.floor(deadline - performance.now()));
  const tally = await processor.runUntilEmpty(timeLeft());
  const { daysToKeep } = settings;
  const deleted =
    daysToKeep === false ? 0 : await queue.deleteOldJobs(daysToKeep, () => timeLeft() > 0);
  const { due, nextDueAt } = await queue.backlog();
  return {
    processed: tally.started,
    completed: tally.completed,
    failed: tally.failed,
    cancelled: tally.cancelled,
    handedBack: tally.released,
    reclaimed,
    deleted,
    left: due,
    nextDueAt: nextDueAt === null ? null : new Date(nextDueAt).toISOString(),
  };
}
