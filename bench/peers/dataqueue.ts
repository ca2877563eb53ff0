import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { initJobQueue } from '@nicnocquee/dataqueue';
import { jobType, type Payload, type Peer } from './peer.js';
import { insertIntoJobQueue } from './pg-bg-job-queue.js';

/**
 * Adding a job and completing one each wait for a second connection while they hold the first. Ten at
 * once, on the default pool of ten connections, wait for ever.
 */
export const dataqueue: Peer = {
  name: 'dataqueue',
  settings:
    'createProcessor(handlers, { batchSize: 100, concurrency: 5 }): ' +
    'https://docs.dataqueue.dev/usage/scaling; by cron { batchSize: 10, concurrency: 3 }',
  package: '@nicnocquee/dataqueue',
  schema: 'dataqueue',

  async migrate(url) {
    const cli = join(import.meta.dirname, '../node_modules/.bin/dataqueue-cli');
    await promisify(execFile)(cli, ['migrate'], {
      cwd: join(import.meta.dirname, '..'),
      env: { ...process.env, PG_DATAQUEUE_DATABASE: url },
    });
  },

  seed: insertIntoJobQueue,
  unfinished: `select count(*)::int from job_queue where status in ('pending', 'processing')`,

  async open(url) {
    const queue = initJobQueue<{ [jobType]: Payload }>({
      databaseConfig: { connectionString: url },
    });
    return {
      add: (payload) => queue.addJob({ jobType, payload }),
      async work(handle) {
        const processor = queue.createProcessor(
          { [jobType]: async (payload) => handle(payload) },
          { batchSize: 100, concurrency: 5 },
        );
        processor.startInBackground();
      },
      // https://docs.dataqueue.dev/usage/process-jobs
      runBatch: (handle) =>
        queue
          .createProcessor(
            { [jobType]: async (payload) => handle(payload) },
            { workerId: `cron-${Date.now()}`, batchSize: 10, concurrency: 3 },
          )
          .start(),
    };
  },
};
