import { toJson } from '../basics/json.js';
import type { ParsedJob } from '../job/new-job.js';
import type { ParsedFilters } from './arguments.js';

/** Where a page of the clean-up ended. The next page begins behind it. */
export type CleanupPosition = {
  createdAt: string;
  id: number;
};

/** What one page of the clean-up deleted; `last` is `null` after the last page. */
export interface CleanupPage {
  deleted: number;
  last: CleanupPosition | null;
}

/**
 * What the queue can ask of the table, complete and checked: the same verbs, in the same order, as
 * `Operation` in `src/store/operation.rs`. It crosses to Rust as JSON; its statement is defined there.
 */
export type Operation =
  | { verb: 'enqueue'; jobs: ParsedJob[] }
  | { verb: 'findJob'; id: number }
  | { verb: 'findJobsByStatus'; status: string; limit: number; offset: number }
  | { verb: 'findAllJobs'; limit: number; offset: number }
  | { verb: 'retry'; id: number }
  | { verb: 'cancel'; id: number }
  | ({ verb: 'cancelUpcoming' } & ParsedFilters)
  | { verb: 'complete'; id: number; runNo: number; remove: boolean }
  | { verb: 'backlog'; types: string[] }
  | { verb: 'reclaim'; maxProcessingMinutes: number }
  | { verb: 'cleanup'; daysToKeep: number; after: CleanupPosition | null };

/** The operation as it crosses: `{ "<verb>": { ... } }`. A payload is JSON text, and is set in as such. */
export function toMessage(operation: Operation): string {
  if (operation.verb === 'enqueue') return `{"enqueue":{"jobs":${jobsToJson(operation.jobs)}}}`;
  const { verb, ...request } = operation;
  return toJson({ [verb]: request });
}

/** Jobs as they cross, for the operation or without one. */
export const jobsToJson = (jobs: readonly ParsedJob[]): string =>
  `[${jobs.map(({ json }) => json).join()}]`;
