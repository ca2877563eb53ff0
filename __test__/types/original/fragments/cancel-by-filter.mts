import type { JobQueue } from 'pg-bg-job-queue';

// The README's map has no 'email': this queue has no map.
declare const jobQueue: JobQueue;

// Cancel only email jobs
await jobQueue.cancelAllUpcomingJobs({ job_type: 'email' });

// Cancel only jobs with priority 2
await jobQueue.cancelAllUpcomingJobs({ priority: 2 });

// Cancel only jobs scheduled for a specific time
const runAt = new Date('2024-06-01T12:00:00Z');
await jobQueue.cancelAllUpcomingJobs({ run_at: runAt });

// Combine filters
await jobQueue.cancelAllUpcomingJobs({ job_type: 'email', priority: 2 });
