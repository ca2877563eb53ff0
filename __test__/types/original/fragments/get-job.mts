import type { Pool } from 'pg';
import type { JobQueue } from 'pg-bg-job-queue';
import type { JobPayloadMap } from '../lib/queue.js';

declare const jobQueue: JobQueue<JobPayloadMap>;
declare const pool: Pool;
declare const jobId: number;

const job = await jobQueue.getJob(pool, jobId);
