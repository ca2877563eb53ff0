/** What the pages say about jobs. */
import type { JobRecord, JobStatus } from 'pg-bg-job-queue';
import type { JobPayloadMap } from './queue';
import { getJobQueue } from './queue';

export type Job = JobRecord<JobPayloadMap>;

export const statuses = ['pending', 'processing', 'completed', 'failed', 'cancelled'] as const;
export type Filter = JobStatus | 'all';

export const jobTypes: Record<keyof JobPayloadMap, string> = {
  send_email: 'Email',
  generate_report: 'Report',
};

export const pageSize = 10;

/** One page of the jobs of a status, newest first, and how many there are of each status. */
export async function listJobs(filter: Filter, page: number) {
  const queue = await getJobQueue();
  const offset = (page - 1) * pageSize;
  const jobs =
    filter === 'all'
      ? await queue.getAllJobs(pageSize, offset)
      : await queue.getJobsByStatus(filter, pageSize, offset);
  return { jobs, counts: await countJobs() };
}

/** The table is plain SQL to whom the methods of the queue do not suffice. */
async function countJobs(): Promise<Record<Filter, number>> {
  const queue = await getJobQueue();
  const { rows } = await queue
    .getPool()
    .query<{ status: JobStatus; count: number }>(
      'select status, count(*)::int from job_queue group by status',
    );
  const counts = { pending: 0, processing: 0, completed: 0, failed: 0, cancelled: 0, all: 0 };
  for (const { status, count } of rows) {
    counts[status] = count;
    counts.all += count;
  }
  return counts;
}

/** What `cancelJob` would change; it leaves every other job as it is. */
export const canCancel = (job: Job) =>
  job.status === 'pending' ||
  (job.status === 'processing' && job.cancel_requested_at === null) ||
  (job.status === 'failed' && job.next_attempt_at !== null);

/** `retryJob` takes any job that does not run; for one that waits anyhow it would do nothing new. */
export const canRetry = (job: Job) => job.status !== 'pending' && job.status !== 'processing';

/** Why the last attempt that failed did so. */
export const lastError = (job: Job) => job.error_history.at(-1)?.message;

/** The payload in a few words. */
export function summarize(job: Job): string {
  switch (job.job_type) {
    case 'send_email':
      return `${job.payload.subject} → ${job.payload.to}`;
    case 'generate_report':
      return `${job.payload.reportId} for ${job.payload.userId}`;
  }
}
