import { makeWorkerUtils } from 'graphile-worker';
import { report } from './report.mjs';

const connectionString = process.env.DATABASE_URL;
const utils = await makeWorkerUtils({ connectionString });
await utils.addJob('send_email', { to: 'someone@example.com' });
report();
