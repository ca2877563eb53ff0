/**
 * The many jobs of one `addJobs` cross to Rust in parts, so that the first are on their way to Postgres while the
 * next are still being turned into JSON.
 */

import { type Ask, callSync, type NativeQueue } from '../addon/native.js';
import { now, setImmediate } from '../basics/timers.js';
import type { ParsedJob } from '../job/new-job.js';
import type { ParsedJobs } from '../job/new-jobs.js';
import { jobsToJson } from './operation.js';

/** The event loop is held for this many milliseconds at a time. */
const TURN = 20;

/** Takes part after part, and lets the event loop go on in between. */
export async function eachPart(
  parts: Iterable<ParsedJob[]>,
  take: (part: ParsedJob[]) => void,
): Promise<void> {
  let until = now() + TURN;
  for (const part of parts) {
    take(part);
    if (now() < until) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    until = now() + TURN;
  }
}

/** More jobs than this are worth a transaction of several steps. */
export const MAX_INSERT = 1_000;

/** Adds all jobs or none, and resolves to their ids. */
export async function addMany(
  queue: NativeQueue,
  { count, parts }: ParsedJobs,
  ask: Ask,
): Promise<number[]> {
  const adding = callSync(() => queue.addMany(count));
  try {
    await eachPart(parts, (part) => adding.add(jobsToJson(part)));
  } catch (error) {
    adding.abort();
    throw error;
  }
  return JSON.parse(await ask(adding.finish()));
}
