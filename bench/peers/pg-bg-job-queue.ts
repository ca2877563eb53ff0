import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { initJobQueue, type ProcessorOptions } from 'pg-bg-job-queue';
import { query } from '../database.js';
import { jobType, type Payload, type Peer } from './peer.js';

/** Options that a version of the package may not have yet. */
export type AnyProcessorOptions = ProcessorOptions & { removeOnComplete?: boolean };
type Jobs = { job_type: typeof jobType; payload: Payload }[];
type WithAddJobs = { addJobs?(jobs: Jobs): Promise<number[]> };

const asJob = (payload: Payload) => ({ job_type: jobType, payload }) as const;

export function pgBgJobQueue(name: string, options: AnyProcessorOptions = {}): Peer {
  return {
    name,
    settings: `createProcessor(handlers, ${JSON.stringify(options)})`,
    package: 'pg-bg-job-queue',
    schema: 'pg-bg-job-queue',
    migrate,
    seed: insertIntoJobQueue,
    unfinished: `select count(*)::int from job_queue where status in ('pending', 'processing')`,

    async open(url) {
      const queue = await initJobQueue<{ [jobType]: Payload }>({
        databaseConfig: { connectionString: url },
      });
      const { addJobs } = queue as WithAddJobs;
      return {
        add: (payload) => queue.addJob(asJob(payload)),
        ...(addJobs && { addMany: (payloads) => addJobs.call(queue, payloads.map(asJob)) }),
        async work(handle) {
          const processor = queue.createProcessor(
            { [jobType]: async (payload) => handle(payload) },
            options,
          );
          processor.startInBackground();
        },
        // The README's cron route makes a processor per request.
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
}

async function migrate(url: string): Promise<void> {
  const manifest = createRequire(import.meta.url).resolve('pg-bg-job-queue/package.json');
  const cli = join(dirname(manifest), 'cli.js');
  await promisify(execFile)(process.execPath, [cli, 'migrate', '--database', url]);
}

/** The table of this name is as good as the same in the package and in dataqueue. */
export async function insertIntoJobQueue(url: string, count: number): Promise<void> {
  await query(
    url,
    `insert into job_queue (job_type, payload)
     select $1, jsonb_build_object('to', 'someone@example.com', 'note', n::text)
     from generate_series(1, $2::int) n`,
    [jobType, count],
  );
}
