/**
 * Many jobs in one call cross to Rust in parts, so that the first are on their way to Postgres while the
 * next are still being made. All are made before anything is awaited: what the caller changes then is
 * not seen.
 */
import type { ParsedJobs } from './arguments/queue.js';
import { type Ask, callSync, type NativeQueue } from './native.js';
import { jobsToJson } from './operation.js';

/** More jobs than these are worth a transaction of several steps. */
export const MAX_INSERT = 1_000;

/** Adds all jobs or none, and resolves to their ids. */
export async function addBatch(
  queue: NativeQueue,
  { count, parts }: ParsedJobs,
  ask: Ask,
): Promise<number[]> {
  const batch = callSync(() => queue.addBatch(count));
  try {
    for (const part of parts) batch.add(jobsToJson(part));
  } catch (error) {
    batch.abort();
    throw error;
  }
  return JSON.parse(await ask(batch.finish()));
}
