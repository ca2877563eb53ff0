import { setTimeout as delay } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { currentJob } from '../index.js';
import { spawnScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

beforeAll(async () => {
  // The commit of an effect that says so takes a while: its check runs when the commit is under way.
  await jobs.database.query('create table effect (job_id bigint not null, slow boolean not null)');
  await jobs.database.query(`
    create function commit_slowly() returns trigger language plpgsql as $$
    begin
      perform pg_sleep(0.5);
      return null;
    end $$`);
  await jobs.database.query(`
    create constraint trigger commit_slowly after insert on effect
    deferrable initially deferred for each row when (new.slow) execute function commit_slowly()`);
});
beforeEach(() => jobs.database.query('truncate effect'));

/** A process whose handler does its job in a transaction, with `die` called at each step of it. */
const spawnWorker = (die: string, options = '') =>
  spawnScript(
    `
    import pg from 'pg';
    import { currentJob, initJobQueue } from 'pg-bg-job-queue';
    const connectionString = process.env.DATABASE_URL;
    const pool = new pg.Pool({ connectionString });
    const queue = await initJobQueue({ databaseConfig: { connectionString } });
    const die = ${die};
    const job = async (payload) => {
      const run = currentJob();
      const client = await pool.connect();
      await client.query('begin');
      await client.query('insert into effect values ($1, $2)', [run.id, payload === 'committing']);
      die('begun', payload);
      await run.completeIn(client);
      die('completing', payload);
      const committed = client.query('commit');
      die('committing', payload);
      await committed;
      die('committed', payload);
      client.release();
      setImmediate(() => die('ended', payload));
    };
    const options = { ${options} leaseDuration: 1000, pollInterval: 50 };
    queue.createProcessor({ job }, options).startInBackground();
    `,
    { env: { DATABASE_URL: jobs.database.url } },
  );

/** Runs in this process whatever comes back, until every job is completed. */
async function runTheRest(): Promise<void> {
  const queue = await jobs.openQueue();
  const job = async () => {
    const run = currentJob();
    const client: PoolClient = await jobs.database.pool.connect();
    try {
      await client.query('begin');
      await client.query('insert into effect values ($1, false)', [run.id]);
      await run.completeIn(client);
      await client.query('commit');
    } finally {
      client.release();
    }
  };
  const processor = queue.createProcessor({ job }, { pollInterval: 50, concurrency: 5 });
  processor.startInBackground();
  const allAreCompleted = async () => Object.keys(await jobs.statuses()).join() === 'completed';
  await until(allAreCompleted, { what: 'every job is completed', timeoutMs: 20_000 });
  await processor.stopAndDrain();
}

/** By job, how many effects it has. */
const effects = () =>
  jobs.database.query<{ id: number; count: number }>(
    `select job.id::int, count(effect.job_id)::int
    from job_queue job left join effect on effect.job_id = job.id
    group by job.id order by job.id`,
  );

test.each([
  ['before it has asked for the completion', 'begun', 2],
  ['between the completion and the commit', 'completing', 2],
  ['after the commit, before its handler has ended', 'committed', 1],
  ['after its handler has ended', 'ended', 1],
])('a process that is killed %s leaves one effect', async (_, step, attempts) => {
  const [id = 0] = await jobs.insert(1);
  await using worker = spawnWorker(
    `(step) => { if (step === '${step}') process.kill(process.pid, 'SIGKILL'); }`,
  );
  expect(await worker.exited).toMatchObject({ signal: 'SIGKILL' });
  await runTheRest();
  expect(await effects()).toEqual([{ id, count: 1 }]);
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts });
});

test('a process that is killed while the server commits leaves one effect', async () => {
  const [id = 0] = await jobs.insert(1, { payload: `'"committing"'` });
  await using worker = spawnWorker('() => {}');
  const underWay = () =>
    jobs.database.query(
      `select from pg_stat_activity
      where datname = current_database() and query = 'commit' and state = 'active'
        and wait_event = 'PgSleep'`,
    );
  await until(async () => (await underWay()).length === 1, { what: 'the commit is under way' });
  worker.kill('SIGKILL');
  await worker.exited;
  expect(await jobs.row(id)).toMatchObject({ status: 'processing' });

  await runTheRest();

  expect(await effects()).toEqual([{ id, count: 1 }]);
  // The server knows nothing of the kill before it has committed.
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('processes that are killed at any moment leave one effect of each job', async () => {
  const ids = await jobs.insert(300, { max_attempts: '100' });
  const completed = async () => (await jobs.statuses()).completed ?? 0;
  for (const workForMs of [0, 13, 26, 39]) {
    const before = await completed();
    await using worker = spawnWorker('() => {}', 'concurrency: 10,');
    await until(async () => (await completed()) > before, { what: 'it works' });
    await delay(workForMs);
    worker.kill('SIGKILL');
    await worker.exited;
  }
  await runTheRest();
  expect(await effects()).toEqual(ids.map((id) => ({ id, count: 1 })));
});
