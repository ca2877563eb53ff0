import type { Pool } from 'pg';
import type { JobQueue } from 'pg-bg-job-queue';
import type { JobPayloadMap } from '../lib/queue.js';

declare const jobQueue: JobQueue<JobPayloadMap>;
declare const pool: Pool;
declare const limit: number;
declare const offset: number;

const jobs = await jobQueue.getAllJobs(pool, limit, offset);
