/**
 * One invocation of the route. Each of its steps has a limit, so that it answers in time whatever the
 * database does; and a step that only keeps the table in order takes the answer from no job that was run.
 */

import { now } from '../basics/timers.js';
import { TIME_IS_UP, within } from '../basics/within.js';
import { JobQueueError, type JobQueueErrorCode } from '../errors/job-queue-error.js';
import type { ParsedProcessorOptions } from '../processor/arguments.js';
import type { Tally } from '../processor/processor.js';
import type { Backlog, QueueInternals } from '../queue/internals.js';
import type { CleanupPage, CleanupPosition } from '../queue/operation.js';

/** What is to be done, and until when, by `now`. */
export interface Invocation {
  queue: QueueInternals;
  handlers: unknown;
  options: ParsedProcessorOptions;
  reclaim: boolean;
  daysToKeep: number | false;
  /** Then nothing more is begun, and what still runs is handed back. */
  deadline: number;
  /** Then nothing more is waited for. */
  answerBy: number;
  /** Told of each step that could not be taken. */
  onError(error: JobQueueError): void;
}

/** What was done. A step that could not be taken, or not in time, gives `null`. */
export interface Work {
  tally: Tally;
  reclaimed: number | null;
  deleted: number | null;
  backlog: Backlog | null;
}

/** Milliseconds that the jobs wait at the most for what is stuck to be reclaimed. */
const MAX_RECLAIM = 10_000;

/** The part of the time behind the deadline in which what was handed back is written. */
const LAST_WORDS = 0.6;

/** The wait for an answer is so many milliseconds longer in Rust, so that it is this side that ends it. */
const MARGIN = 500;

/** With these, no job can be run either. */
const HOPELESS: readonly JobQueueErrorCode[] = ['CONNECTION_FAILED', 'NOT_MIGRATED', 'CLOSED'];

/** Rejects if the jobs could not be run. */
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

/** Puts back what is stuck. Rejects if the jobs cannot be run either. */
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

/** Deletes while there is something old enough among the oldest, and time. */
async function cleanUp(invocation: Invocation): Promise<number | null> {
  const { queue, daysToKeep, deadline, answerBy } = invocation;
  if (daysToKeep === false) return 0;
  let total: number | null = null;
  let after: CleanupPosition | null = null;
  do {
    // Where the jobs took all the time until the deadline, half of what is left until the answer.
    const limit = Math.max(timeUntil(deadline), timeUntil(answerBy) / 2);
    const page: CleanupPage | null = await orNull(
      invocation,
      limited('deleting old jobs', limit, (ms) =>
        queue.deleteOldJobs(daysToKeep, after, ms, invocation.onError),
      ),
    );
    if (page === null) break;
    total = (total ?? 0) + page.deleted;
    after = page.deleted > 0 ? page.last : null;
  } while (after !== null && timeUntil(deadline) > 0);
  return total;
}

function timeUntil(moment: number): number {
  return Math.max(0, Math.floor(moment - now()));
}

/** Takes a step, and rejects with `DEADLINE` when it takes longer than so many milliseconds. */
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
      : `createRouteHandler: ${what} had not ended after ${ms} ms, and may still be done`,
  );
}

/** What a step gives, or `null` if it fails, but for the codes that are to be thrown. */
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
