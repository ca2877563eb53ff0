/** The function that opens a queue. */

import { resolveConfig } from '../config/config.js';
import type { JobQueueConfig } from '../config/types.js';
import { sharedQueue } from './hot-reload.js';
import { PostgresJobQueue } from './queue.js';
import type { JobQueue } from './types.js';

/**
 * Opens a job queue. The first operation opens a connection, and rejects if it cannot.
 *
 * `PayloadMap` maps job types to the types of their payloads:
 * `initJobQueue<{ send_email: { to: string } }>({ databaseConfig: { connectionString } })`.
 *
 * In `next dev`, an edit evaluates the app's modules anew. There, the same configuration gives the same queue for as
 * long as the queue is open.
 *
 * Rejects with `INVALID_CONFIG`.
 */
// biome-ignore lint/suspicious/noExplicitAny: without a payload map, every job type takes any payload
export async function initJobQueue<PayloadMap = any>(
  config: JobQueueConfig<PayloadMap>,
): Promise<JobQueue<PayloadMap>> {
  const resolved = resolveConfig(config);
  const queue: JobQueue<Record<string, unknown>> = sharedQueue(
    resolved,
    () => new PostgresJobQueue(resolved),
  );
  return queue as unknown as JobQueue<PayloadMap>;
}
