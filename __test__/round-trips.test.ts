/**
 * The messages of a worker to the server, counted: a claim and a settlement for each batch while
 * there is work, in one round trip or side by side, and nothing but the poll while there is none. `pooler.test.ts`
 * counts them behind a pooler.
 */
import { Client } from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { initJobQueue, type JobQueue, type ProcessorOptions } from '../index.js';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { cliOutput } from './helpers/cli.js';
import { until } from './helpers/until.js';
import { openWiretap, type Wiretap } from './helpers/wire.js';

let server: EmbeddedPostgres;
let client: Client;

beforeAll(async () => {
  // Nobody else may take transaction ids here.
  server = await startPostgres({ settings: { autovacuum: 'off' } });
  await cliOutput(['migrate'], { url: server.url() });
  client = new Client({ connectionString: server.url() });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await server.stop();
});

interface Watched {
  queue: JobQueue;
  wiretap: Wiretap;
}

async function watchedQueue(name: string, max = 10): Promise<Watched> {
  const { hostname, port } = new URL(server.url());
  const wiretap = await openWiretap({ host: hostname, port: Number(port) });
  const url = Object.assign(new URL(server.url()), {
    host: `${wiretap.address.host}:${wiretap.address.port}`,
  });
  const queue = await initJobQueue({
    databaseConfig: { connectionString: url.href, application_name: name, max },
  });
  onTestFinished(async () => {
    await queue.close();
    await wiretap[Symbol.asyncDispose]();
  });
  return { queue, wiretap };
}

const insert = (count: number) =>
  client.query(
    `insert into job_queue (job_type, payload) select 'job', '{}' from generate_series(1, $1::int)`,
    [count],
  );

function work({ queue }: Watched, options: ProcessorOptions): void {
  queue.createProcessor({ job: async () => {} }, options).startInBackground();
}

/** Resolves when all jobs are settled. */
const allDone = () =>
  until(async () => {
    const { rows } = await client.query(
      `select from job_queue where status in ('pending', 'processing') limit 1`,
    );
    return rows.length === 0;
  });

/** Every statement is prepared already: it is bound, run, and answered. */
const PREPARED = /^(BD?E[CS]*S)*$/;

test.each([
  ['one for each batch, in which the last is settled and the next claimed', 1, 1],
  ['on several connections two: a batch is settled while the next is claimed', 10, 2],
])('%s', async (_, max, each) => {
  const watched = await watchedQueue('busy', max);
  work(watched, { batchSize: 100, concurrency: 100 });
  await watched.queue.addJob({ job_type: 'job', payload: {} });
  await allDone();
  await insert(2_000);
  watched.wiretap.take();
  // Inserts by plain SQL send no notification: this wakes the worker.
  await watched.queue.addJob({ job_type: 'job', payload: {} });
  await allDone();
  const { answers } = watched.wiretap.take();
  expect(answers).toBeGreaterThanOrEqual(20);
  expect(answers).toBeLessThanOrEqual(each * 20 + 15);
});

test('none but the poll while there is nothing to do, and that writes nothing', async () => {
  const watched = await watchedQueue('idle');
  work(watched, { pollInterval: 100 });
  // It has prepared its questions, for jobs (the first could settle as well) and for those of lost workers, and
  // listens: it is idle.
  let prepared = '';
  await until(() => {
    prepared += watched.wiretap.take().asked;
    return prepared.split('P').length - 1 >= 3;
  });
  await until(async () => {
    const { rows } = await client.query(
      `select from pg_stat_activity
      where application_name = 'idle' and query ilike 'listen %' and state = 'idle'`,
    );
    return rows.length === 1;
  });
  const nextId = async () => {
    const { rows } = await client.query(
      'select pg_snapshot_xmax(pg_current_snapshot())::text as id',
    );
    return rows[0].id;
  };
  const before = await nextId();
  watched.wiretap.take();
  const startedAt = performance.now();
  let [asked, answers] = ['', 0];
  await until(() => {
    const taken = watched.wiretap.take();
    asked += taken.asked;
    answers += taken.answers;
    return answers >= 20;
  });
  const polls = (performance.now() - startedAt) / 100;
  // Twice a second, a poll also asks for the jobs of lost workers.
  const recoveries = Math.ceil(polls / 5) + 1;
  // Once it listens, it looks again for what it may have missed.
  expect(answers).toBeLessThanOrEqual(Math.ceil(polls) + recoveries + 3);
  expect(asked).toMatch(PREPARED);
  expect(await nextId()).toBe(before);
});
