import { initJobQueue } from 'pg-bg-job-queue';

/**
 * The job types and their payloads. A payload of another shape, or a type without a handler,
 * does not compile.
 */
export type JobPayloadMap = {
  send_email: { to: string; subject: string; body: string };
  generate_report: { reportId: string; userId: string };
};

let queue: ReturnType<typeof initJobQueue<JobPayloadMap>> | undefined;

/** One queue a process: it holds the connections. Opening it connects to nothing yet. */
export const getJobQueue = () => {
  queue ??= initJobQueue<JobPayloadMap>({
    databaseConfig: { connectionString: process.env.PG_BG_JOB_QUEUE_DATABASE },
  });
  return queue;
};
