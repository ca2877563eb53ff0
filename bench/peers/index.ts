import { bareLoop } from './bare-loop.js';
import { dataqueue } from './dataqueue.js';
import { graphileWorker, graphileWorkerFastest } from './graphile-worker.js';
import { futurePriority, jobType, type Peer } from './peer.js';
import { pgBgJobQueue } from './pg-bg-job-queue.js';
import { pgBoss, pgBossFastest, pgBossListening } from './pg-boss.js';

/** The package in the settings of its users. */
export const defaults = pgBgJobQueue('pg-bg-job-queue');
/** For throughput: as many handlers at once as there are jobs in two batches. */
const fastest = { batchSize: 1000, concurrency: 2000 };
export const fast = pgBgJobQueue('pg-bg-job-queue, fastest', fastest);
/** With as many handlers at once as graphile-worker's fastest setting has. */
export const fast24 = pgBgJobQueue('pg-bg-job-queue, 24 at once', {
  batchSize: 500,
  concurrency: 24,
});
const removing = { ...fastest, removeOnComplete: true };
export const fastRemoving = pgBgJobQueue('pg-bg-job-queue, removeOnComplete', removing);

/** For the checks of `--flat`: it takes one type of jobs, and looks for them often. */
export const oneType: Peer = {
  ...pgBgJobQueue('pg-bg-job-queue, one type', { ...fastest, jobType, pollInterval: 20 }),
  // Through indexes, without walking those that are due in days: it is asked again and again.
  unfinished: `select (
      select count(*) from job_queue
      where job_type = '${jobType}' and job_type >= '' and ready_at is not null
        and priority < ${futurePriority}
    )::int + (select count(*) from job_queue where status = 'processing')::int as count`,
};

export const bareLoops = [1, 2, 3].map((connections) => bareLoop(connections));
export { dataqueue, graphileWorker, graphileWorkerFastest, pgBoss, pgBossFastest, pgBossListening };

/** Every peer: a child process finds its own by name. */
export const peers: readonly Peer[] = [
  defaults,
  fast,
  fast24,
  fastRemoving,
  oneType,
  graphileWorker,
  graphileWorkerFastest,
  pgBoss,
  pgBossFastest,
  pgBossListening,
  dataqueue,
  ...bareLoops,
];
