/** What a process goes through on a serverless platform: started cold, many at once, frozen, thawed. */
import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { type RunningScript, spawnScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

/** Each line of stdin is one invocation: its number, and the name of an entry of `functions`. */
const entryPoint = `
  import { createInterface } from 'node:readline';
  import { currentJob, initJobQueue } from 'pg-bg-job-queue';
  const { DATABASE_URL: connectionString, NAME: application_name, MAX } = process.env;
  // Idle connections stay, so that only what the test does closes them.
  const databaseConfig = { connectionString, application_name, max: Number(MAX), idleTimeoutMillis: 0 };
  const queue = await initJobQueue({ databaseConfig });
  createInterface(process.stdin).on('line', async (line) => {
    const [number, name] = line.split(' ');
    const answer = await functions[name]().catch(({ code, message }) => ({ code, message }));
    console.log(number + ' ' + JSON.stringify(answer ?? null));
  });
  console.log('ready');
`;

interface Process extends RunningScript {
  /** Resolves to the answer of a function: what it resolves to, or the error that it rejects with. */
  invoke(name: string): Promise<unknown>;
}

/** Processes that have started and are connected to nothing yet. */
async function startCold(count: number, { max, functions }: { max: number; functions: string }) {
  const name = `serverless ${randomUUID()}`;
  const env = { DATABASE_URL: jobs.database.url, NAME: name, MAX: String(max) };
  const processes = Array.from({ length: count }, (): Process => {
    const script = spawnScript(`const functions = {${functions}};${entryPoint}`, {
      env,
      timeoutMs: 60_000,
    });
    onTestFinished(() => script[Symbol.asyncDispose]());
    let invocations = 0;
    const invoke = async (name: string) => {
      invocations += 1;
      script.stdin.write(`${invocations} ${name}\n`);
      const [, answer = ''] = await script.waitForLine(new RegExp(`^${invocations} (.*)`));
      return JSON.parse(answer);
    };
    return Object.assign(script, { invoke });
  });
  await Promise.all(processes.map((process) => process.waitForLine(/^ready/)));
  const connections = (where = 'true') =>
    jobs.database.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = $1 and ${where}`,
      [name],
    );
  return { processes, connections };
}

async function startOne(functions: string) {
  const { processes, connections } = await startCold(1, { max: 1, functions });
  return { process: processes[0] as Process, connections };
}

const addJob = `addJob: () => queue.addJob({ job_type: 'job', payload: null }),`;
const cronRoute = `
  cronRoute: async () => {
    const ran = [];
    const job = async () => void ran.push(currentJob().id);
    const processed = await queue.createProcessor({ job }, { batchSize: 10 }).start();
    return { processed, ran };
  },
`;

/** A connection that was idle for longer is asked whether it lives before it is used. */
const trustedFor = '20 seconds';

test('processes that were frozen until the server had closed their connections just work', async () => {
  const { processes, connections } = await startCold(2, { max: 1, functions: addJob + cronRoute });
  const [adding, processing] = processes as [Process, Process];
  expect(await adding.invoke('addJob')).toBeGreaterThan(0);
  expect(await processing.invoke('cronRoute')).toMatchObject({ processed: 1 });
  const [id] = await jobs.insert(1);

  for (const process of processes) process.kill('SIGSTOP');
  const idle = () => connections(`state_change < now() - interval '${trustedFor}'`);
  await until(async () => (await idle()).length === 2, { timeoutMs: 30_000 });
  for (const { pid } of await connections()) {
    await jobs.database.query('select pg_terminate_backend($1, 5000)', [pid]);
  }
  expect(await connections()).toEqual([]);
  for (const process of processes) process.kill('SIGCONT');

  expect(await processing.invoke('cronRoute')).toEqual({ processed: 1, ran: [id] });
  expect(await adding.invoke('addJob')).toBeGreaterThan(0);
  expect(await connections()).toHaveLength(2);
}, 60_000);

test('a process that was frozen longer than its lease has its outcome refused', async () => {
  const { process } = await startOne(`
    slowRoute: async () => {
      const errors = [];
      const job = () => {
        console.log('running');
        return new Promise((resolve) => (functions.finish = async () => resolve()));
      };
      const onError = ({ code }) => void errors.push(code);
      await queue.createProcessor({ job }, { workerId: 'frozen', onError }).start();
      return errors;
    },
  `);
  const [id = 0] = await jobs.insert(1);
  const errors = process.invoke('slowRoute');
  await process.waitForLine(/running/);
  process.kill('SIGSTOP');
  await jobs.endLeases(id);
  const other = await jobs.openQueue();
  const job = async () => {};
  expect(await other.createProcessor({ job }, { workerId: 'other' }).start()).toBe(1);
  const settled = await jobs.row(id);
  process.kill('SIGCONT');
  await process.invoke('finish');

  expect(await errors).toEqual(['LEASE_LOST']);
  expect(settled).toMatchObject({ status: 'completed', locked_by: 'other', attempts: 2 });
  expect(await jobs.row(id)).toEqual(settled);
});

test('ten invocations of a cron route at once share the jobs, and run none twice', async () => {
  const ids = await jobs.insert(100);
  const { processes } = await startCold(10, { max: 1, functions: cronRoute });
  const answers = (await Promise.all(processes.map((process) => process.invoke('cronRoute')))) as {
    processed: number;
    ran: number[];
  }[];

  expect(answers.map(({ processed }) => processed)).toEqual(answers.map(() => 10));
  expect(answers.flatMap(({ ran }) => ran).sort((a, b) => a - b)).toEqual(ids);
  expect(await jobs.statuses()).toEqual({ completed: 100 });
  expect(await jobs.rows('attempts <> 1')).toEqual([]);
});

test('ten processes that start cold at once have no more connections than their max together', async () => {
  const functions = `
    busy: async () => {
      const reads = Array.from({ length: 20 }, () => queue.getJob(1));
      const adds = Array.from({ length: 20 }, () => queue.addJob({ job_type: 'job', payload: null }));
      const { length } = await Promise.all([...reads, ...adds]);
      return length;
    },
  `;
  const { processes, connections } = await startCold(10, { max: 2, functions });
  expect(await connections()).toEqual([]);
  const client = await jobs.database.pool.connect();
  await client.query('begin; lock table job_queue in access exclusive mode');
  const answers = processes.map((process) => process.invoke('busy'));
  // All that they open wait here: there is no moment to be missed.
  await until(async () => (await connections(`wait_event_type = 'Lock'`)).length === 20);
  expect(await connections()).toHaveLength(20);
  await client.query('rollback');
  client.release();

  expect(await Promise.all(answers)).toEqual(processes.map(() => 40));
  expect((await connections()).length).toBeLessThanOrEqual(20);
});

test('an invocation ends its process by itself when nothing more is asked of it', async () => {
  const { process, connections } = await startOne(addJob + cronRoute);
  await process.invoke('addJob');
  expect(await process.invoke('cronRoute')).toMatchObject({ processed: 1 });
  process.stdin.end();
  expect(await process.exited).toMatchObject({ code: 0, signal: null, stderr: '' });
  await until(async () => (await connections()).length === 0);
});
