import { makeWorkerUtils, run, runMigrations, WorkerPreset } from 'graphile-worker';
import { query } from '../database.js';
import { jobType, type Payload, type Peer } from './peer.js';

// Without it the worker writes a line per job: its own performance tests set it too.
process.env.NO_LOG_SUCCESS = '1';

/** Nothing but how many jobs run at once is tuned: one, its default. */
export const graphileWorker = create({
  name: 'graphile-worker',
  settings: 'run({ connectionString, taskList }): https://worker.graphile.org/docs/library/run',
  worker: {},
});

export const graphileWorkerFastest = create({
  name: 'graphile-worker, fastest',
  settings:
    'concurrentJobs 24, maxPoolSize 25, localQueue.size 500, completeJobBatchDelay 0, ' +
    'failJobBatchDelay 0: https://worker.graphile.org/docs/performance',
  worker: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
});

interface Settings {
  name: string;
  settings: string;
  worker: GraphileConfig.WorkerOptions;
}

function create({ name, settings, worker }: Settings): Peer {
  const presetFor = (connectionString: string) => ({
    extends: [WorkerPreset],
    worker: { ...worker, connectionString },
  });
  return {
    name,
    settings,
    package: 'graphile-worker',
    schema: 'graphile-worker',
    migrate: (url) => runMigrations({ preset: presetFor(url) }),

    // As its own performance test seeds: https://github.com/graphile/worker/blob/main/perfTest/init.js
    async seed(url, count) {
      await query(
        url,
        `select from graphile_worker.add_jobs(array(
           select json_populate_record(null::graphile_worker.job_spec, json_build_object(
             'identifier', $1::text,
             'payload', json_build_object('to', 'someone@example.com', 'note', n::text)
           )) from generate_series(1, $2::int) n
         ))`,
        [jobType, count],
      );
    },

    // Finished jobs are deleted.
    unfinished: 'select count(*)::int from graphile_worker._private_jobs',

    async open(url) {
      const preset = presetFor(url);
      // Made when it is first used: a worker process has no need of it.
      let utils: ReturnType<typeof makeWorkerUtils> | undefined;
      const getUtils = () => {
        utils ??= makeWorkerUtils({ preset });
        return utils;
      };
      return {
        add: async (payload) => (await getUtils()).addJob(jobType, payload),
        addMany: async (payloads) =>
          (await getUtils()).addJobs(payloads.map((payload) => ({ identifier: jobType, payload }))),
        async work(handle) {
          const taskList = { [jobType]: async (payload: unknown) => handle(payload as Payload) };
          await run({ preset, taskList });
        },
      };
    },
  };
}
