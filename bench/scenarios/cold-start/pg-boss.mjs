import { PgBoss } from 'pg-boss';
import { report } from './report.mjs';

// Without what only workers need.
const boss = new PgBoss({
  connectionString: process.env.DATABASE_URL,
  supervise: false,
  schedule: false,
  migrate: false,
});
boss.on('error', console.error);
await boss.start();
await boss.send('send_email', { to: 'someone@example.com' });
report();
