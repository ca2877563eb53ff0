import { type ConstructorOptions, PgBoss, type WorkOptions } from 'pg-boss';
import { jobType, type Payload, type Peer } from './peer.js';

/**
 * The default of `work()` is one job every two seconds, so that a backlog asks for options. These are
 * what its documentation offers for one: several workers, and no pause while batches come back full.
 */
export const pgBoss = create({
  name: 'pg-boss',
  settings:
    'work(queue, { batchSize: 10, localConcurrency: 5, burstWhenBatchFull: true }): ' +
    'https://pgboss.io/api/workers',
  work: { batchSize: 10, localConcurrency: 5, burstWhenBatchFull: true },
});

/** The quickest that was found: a batch is settled by one statement, and fails as a whole. */
export const pgBossFastest = create({
  name: 'pg-boss, fastest',
  settings:
    'work(queue, { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true }): ' +
    'https://pgboss.io/api/workers',
  work: { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true },
});

export const pgBossListening = create({
  name: 'pg-boss, LISTEN',
  settings:
    'new PgBoss({ useListenNotify: true }), createQueue(queue, { notify: true }): ' +
    'https://pgboss.io/api/constructor',
  constructorOptions: { useListenNotify: true },
  notify: true,
});

interface Settings {
  name: string;
  settings: string;
  constructorOptions?: ConstructorOptions;
  notify?: boolean;
  work?: WorkOptions;
}

function create({ name, settings, constructorOptions, notify = false, work = {} }: Settings): Peer {
  async function start(url: string): Promise<PgBoss> {
    const boss = new PgBoss({ connectionString: url, ...constructorOptions });
    boss.on('error', console.error);
    return await boss.start();
  }
  const withBoss = async (url: string, use: (boss: PgBoss) => Promise<unknown>) => {
    const boss = await start(url);
    await use(boss);
    await boss.stop({ graceful: false });
  };
  return {
    name,
    settings,
    package: 'pg-boss',
    schema: notify ? 'pg-boss-notify' : 'pg-boss',
    migrate: (url) => withBoss(url, (boss) => boss.createQueue(jobType, { notify })),
    seed: (url, count) =>
      withBoss(url, (boss) =>
        boss.insert(
          jobType,
          Array.from({ length: count }, (_, n) => ({
            data: { to: 'someone@example.com', note: String(n) },
          })),
        ),
      ),
    unfinished: `select count(*)::int from pgboss.job where name = '${jobType}' and state < 'completed'`,

    async open(url) {
      const boss = await start(url);
      return {
        add: (payload) => boss.send(jobType, payload),
        addMany: (payloads) =>
          boss.insert(
            jobType,
            payloads.map((data) => ({ data })),
          ),
        async work(handle) {
          await boss.work<Payload>(jobType, work, async (jobs) => {
            for (const job of jobs) handle(job.data);
          });
        },
      };
    },
  };
}
