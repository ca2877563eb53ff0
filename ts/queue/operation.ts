/** The operations of a queue, as they cross to Rust. */

import { toJson } from '../basics/json.js';
import type { Retention } from '../config/types.js';
import type { ParsedJob } from '../job/new-job.js';
import type { ParsedFilters } from './arguments.js';

/** The place at which a page of the clean-up ended. The next page begins after it. */
export type CleanupPosition = {
  createdAt: string;
  id: number;
};

/** Which jobs are old. Together with a page's start, it is `Old` in `src/store/cleanup.rs`. */
export type Old = {
  status: keyof Retention;
  daysToKeep: number;
};

/** Where a page begins, whether it looks only at jobs that were also added longer ago, and at how many jobs it looks. */
export type PageStart = {
  after: CleanupPosition | null;
  addedBefore: boolean;
  rows: number;
};

export const FIRST_PAGE: PageStart = { after: null, addedBefore: false, rows: 5_000 };

/**
 * The page after this one, where not all jobs of the status are worth a look; `null` if there is none. Once a page had
 * nothing to delete, only jobs follow that were added longer ago than they are kept: else each walk would end at the last
 * job of the table.
 */
export function nextPage({ deleted, last }: CleanupPage): PageStart | null {
  return last && { ...FIRST_PAGE, after: last, addedBefore: deleted === 0 };
}

/** A page of the clean-up. */
export interface CleanupPage {
  /** How many jobs were deleted. */
  deleted: number;
  /** `null` after the last page. */
  last: CleanupPosition | null;
}

/**
 * An operation on the table, complete and checked: the same verbs, in the same order, as `Operation` in
 * `src/store/operation.rs`, where its statement is defined.
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
  | ({ verb: 'cleanup' } & Old & PageStart);

/** The operation as it crosses: `{ "<verb>": { ... } }`. Payloads are JSON text already, and stay as they are. */
export function toMessage(operation: Operation): string {
  if (operation.verb === 'enqueue') return `{"enqueue":{"jobs":${jobsToJson(operation.jobs)}}}`;
  const { verb, ...request } = operation;
  return toJson({ [verb]: request });
}

/** Jobs as they cross, inside an operation or alone. */
export const jobsToJson = (jobs: readonly ParsedJob[]): string =>
  `[${jobs.map(({ json }) => json).join()}]`;
