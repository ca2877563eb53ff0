/**
 * One invocation of the route. Each step has a limit of time, so that the route answers in time even if the database
 * does not. If a step that only keeps the table in order fails, the answer still has the numbers of the jobs.
 */

import { now } from '../basics/timers.js';
import { TIME_IS_UP, within } from '../basics/within.js';
import { JobQueueError, type JobQueueErrorCode } from '../errors/job-queue-error.js';
import type { ParsedProcessorOptions } from '../processor/arguments.js';
import type { Tally } from '../processor/processor.js';
import type { Backlog, QueueInternals } from '../queue/internals.js';
import {
  type CleanupPage,
  FIRST_PAGE,
  nextPage,
  type Old,
  type PageStart,
} from '../queue/operation.js';

/** The work of an invocation. Its times are those of `now`. */
export interface Invocation {
  queue: QueueInternals;
  handlers: unknown;
  options: ParsedProcessorOptions;
  reclaim: boolean;
  /** `undefined`: as the queue says. */
  daysToKeep: number | false | undefined;
  /** From then on, no step begins, and the jobs that still run are handed back. */
  deadline: number;
  /** From then on, the route waits for nothing. */
  answerBy: number;
  /** Called for each step that failed. */
  onError(error: JobQueueError): void;
}

/** The results of an invocation. A step that failed or took too long has `null`. */
export interface Work {
  tally: Tally;
  reclaimed: number | null;
  deleted: number | null;
  backlog: Backlog | null;
}

/** The jobs wait for this many milliseconds at the most until stuck jobs are reclaimed. */
const MAX_RECLAIM = 10_000;

/** The part of the time after the deadline in which the jobs that are handed back are written. */
const LAST_WORDS = 0.6;

/** Rust waits this many milliseconds longer for an answer, so that TypeScript is the one to end the wait. */
const MARGIN = 500;

/** If a step fails with one of these, no job can run either. */
const HOPELESS: readonly JobQueueErrorCode[] = ['CONNECTION_FAILED', 'NOT_MIGRATED', 'CLOSED'];

/** Does the work of an invocation. Rejects if the jobs could not run. */
export async function work(invocation: Invocation): Promise<Work> {
  const { queue, handlers, options, deadline, answerBy } = invocation;
  const reclaimed = invocation.reclaim ? await reclaim(invocation) : 0;
  const processor = queue.createProcessor(handlers, options);
  const tally = await limited('running jobs', timeUntil(answerBy), () =>
    processor.runUntilEmpty(timeUntil(deadline), Math.floor((answerBy - deadline) * LAST_WORDS)),
  );
  const deleted = await cleanUp(invocation);
  const backlog = await orNull(
    invocation,
    limited('counting what is left', timeUntil(answerBy), (ms) =>
      queue.backlog(tally.notClaimed, ms),
    ),
  );
  return { tally, reclaimed, deleted, backlog };
}

/** Puts back stuck jobs. Rejects if no job can run either. */
async function reclaim(invocation: Invocation): Promise<number | null> {
  const { queue, deadline, answerBy } = invocation;
  const attempt = () => {
    const limit = Math.max(timeUntil(deadline) / 2, timeUntil(answerBy) / 10);
    const what = 'reclaiming stuck jobs';
    return limited(what, Math.min(limit, MAX_RECLAIM), (ms) =>
      queue.reclaimStuckJobs(ms, invocation.onError),
    );
  };
  // An idle connection may have been cut, and the next one works. If it fails too, the database is away.
  const answer = attempt().catch((error: unknown) => {
    if (codeOf(error) === 'CONNECTION_FAILED') return attempt();
    throw error;
  });
  return orNull(invocation, answer, HOPELESS);
}

/** Deletes old jobs, page by page, until there are no more or the time is up. */
async function cleanUp(invocation: Invocation): Promise<number | null> {
  let total: number | null = 0;
  for (const old of invocation.queue.oldJobs(invocation.daysToKeep)) {
    const deleted = await deleteAll(invocation, old);
    total = deleted === null || total === null ? null : total + deleted;
  }
  return total;
}

/** The same for jobs of one status. */
async function deleteAll(invocation: Invocation, old: Old): Promise<number | null> {
  const { queue, deadline, answerBy } = invocation;
  let total: number | null = null;
  let from: PageStart | null = FIRST_PAGE;
  do {
    const start: PageStart = from;
    // If the jobs took all the time until the deadline, half of the time that is left until the answer.
    const limit = Math.max(timeUntil(deadline), timeUntil(answerBy) / 2);
    const page: CleanupPage | null = await orNull(
      invocation,
      limited('deleting old jobs', limit, (ms) =>
        queue.deleteOldJobs(old, start, ms, invocation.onError),
      ),
    );
    if (page === null) break;
    total = (total ?? 0) + page.deleted;
    from = nextPage(page);
  } while (from !== null && timeUntil(deadline) > 0);
  return total;
}

function timeUntil(moment: number): number {
  return Math.max(0, Math.floor(moment - now()));
}

/** Takes a step. Rejects with `DEADLINE` if it takes longer than `limit` milliseconds. */
async function limited<T>(
  what: string,
  limit: number,
  step: (limitMs: number) => Promise<T>,
): Promise<T> {
  const ms = Math.floor(limit);
  const result = ms === 0 ? TIME_IS_UP : await within(ms, step(ms + MARGIN));
  if (result !== TIME_IS_UP) return result;
  throw new JobQueueError(
    'DEADLINE',
    ms === 0
      ? `createRouteHandler: there was no time left for ${what}`
      : `createRouteHandler: ${what} had not ended after ${ms} ms: it may still complete`,
  );
}

/** Gives the result of a step, or `null` if it fails. Rejects if it fails with one of the codes in `thrown`. */
async function orNull<T>(
  { onError }: Invocation,
  step: Promise<T>,
  thrown: readonly JobQueueErrorCode[] = [],
): Promise<T | null> {
  try {
    return await step;
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || thrown.includes(code)) throw error;
    onError(error as JobQueueError);
    return null;
  }
}

function codeOf(error: unknown): JobQueueErrorCode | undefined {
  return error instanceof JobQueueError ? error.code : undefined;
}
