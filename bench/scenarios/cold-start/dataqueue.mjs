import { initJobQueue } from '@nicnocquee/dataqueue';
import { report } from './report.mjs';

const connectionString = process.env.DATABASE_URL;
const queue = initJobQueue({ databaseConfig: { connectionString } });
await queue.addJob({ jobType: 'send_email', payload: { to: 'someone@example.com' } });
report();
