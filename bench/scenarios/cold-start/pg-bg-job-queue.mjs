import { initJobQueue } from 'pg-bg-job-queue';
import { report } from './report.mjs';

const connectionString = process.env.DATABASE_URL;
const queue = await initJobQueue({ databaseConfig: { connectionString } });
await queue.addJob({ job_type: 'send_email', payload: { to: 'someone@example.com' } });
report();
