/**
 * A route that does everything, for an app in which no process stays: the platform's cron calls it. It speaks the web's
 * `Request` and `Response`, as Next.js, Hono, Bun, Deno and others do.
 */

import { now, setImmediate } from '../basics/timers.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { toDate } from '../job/record.js';
import { causedByUser, tell } from '../processor/report.js';
import type { JobDefinitions } from '../processor/types.js';
import { QUEUE_INTERNALS, type QueueInternals } from '../queue/internals.js';
import type { JobQueue } from '../queue/types.js';
import { checkRouteArguments, parseRouteOptions, refuseQueue } from './arguments.js';
import { type Work, work } from './route-run.js';
import { isAuthorized } from './secret.js';
import type { RouteHandler, RouteHandlerOptions, RouteResult } from './types.js';

/** The part of the grace that the route waits for the database. The rest is for sending the answer. */
const PATIENT_PART = 0.9;
/** The shortest wait, in milliseconds: even with no grace, the jobs that are handed back have to be written. */
const LEAST_PATIENCE = 250;

/**
 * Creates the handlers of a route that runs jobs until none is due or the time is nearly up, puts back stuck jobs, and
 * deletes old ones. It stops claiming jobs of a type if they usually take longer than the time that is left. At the
 * deadline, the signals of the jobs that run abort with `DEADLINE`, and these jobs are pending again, behind the jobs
 * that are due; the attempt counts if the run had at least half of the invocation. Nothing in a request changes which
 * jobs run.
 *
 * ```ts
 * // app/api/cron/jobs/route.ts
 * export const maxDuration = 60;
 * export const { GET, POST } = createRouteHandler(getJobQueue, jobHandlers, { maxDuration });
 * ```
 *
 * Answers 200 with a `RouteResult`, 401 without the secret, and 500 with `{ error, message }` if jobs cannot run:
 * because the database cannot be reached, or does not answer within the `grace` (`DEADLINE`). Other steps that fail,
 * or take too long, leave `null` in the result. `onError` gets the errors of both. Throws `INVALID_ARGUMENT`.
 */
export function createRouteHandler<PayloadMap>(
  getQueue: () => JobQueue<PayloadMap> | Promise<JobQueue<PayloadMap>>,
  handlers: JobDefinitions<PayloadMap>,
  options: RouteHandlerOptions = {},
): { GET: RouteHandler; POST: RouteHandler } {
  const settings = parseRouteOptions(options);
  checkRouteArguments(getQueue, handlers, settings.processor);

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
      // An engine reports the error that it ends with. The report may arrive later in this turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      if (!told.has(error.message)) onError(error);
      return Response.json({ error: error.code, message: error.message }, { status: 500 });
    }
  };
  return { GET: handle, POST: handle };
}

function internalsOf(queue: unknown): QueueInternals {
  const internals = (queue as { [QUEUE_INTERNALS]?: () => QueueInternals } | null | undefined)?.[
    QUEUE_INTERNALS
  ];
  if (typeof internals === 'function') return internals.call(queue);
  return refuseQueue();
}

function resultOf({ tally, reclaimed, deleted, backlog }: Work): RouteResult {
  const nextDueAt = backlog?.nextDueAt ?? null;
  return {
    processed: tally.started,
    completed: tally.completed,
    failed: tally.failed,
    cancelled: tally.cancelled,
    handedBack: tally.released,
    snoozed: tally.snoozed,
    didNotFit: tally.didNotFit.map(({ id, jobType }) => ({ id, job_type: jobType })),
    notClaimed: backlog?.waiting ?? tally.notClaimed,
    reclaimed,
    deleted,
    left: backlog?.due ?? null,
    nextDueAt: nextDueAt === null ? null : toDate(nextDueAt).toISOString(),
  };
}
