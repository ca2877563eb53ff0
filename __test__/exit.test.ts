import { describe, expect, test } from 'vitest';
import { runScript, type ScriptOptions, spawnScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

const options = (more: ScriptOptions = {}): ScriptOptions => ({
  env: { DATABASE_URL: jobs.database.url },
  execArgv: ['--unhandled-rejections=strict'],
  ...more,
});

/** Its idle connections stay open for ever: a script that they held would not end at all. */
const opened = `
  import { currentJob, initJobQueue } from 'pg-bg-job-queue';
  const databaseConfig = { connectionString: process.env.DATABASE_URL, idleTimeoutMillis: 0 };
  const queue = await initJobQueue({ databaseConfig });
`;

const run = (source: string) => runScript(opened + source, options());
const spawn = (source: string) => spawnScript(opened + source, options());

const quietly = { code: 0, signal: null, stderr: '' };

describe('a script ends by itself, without close', () => {
  test('that opens a queue and does nothing with it', async () => {
    expect(await run('')).toMatchObject(quietly);
  });

  test('that only adds jobs', async () => {
    const result = await run(`
      for (let n = 1; n <= 20; n++) await queue.addJob({ job_type: 'job', payload: n });
    `);
    expect(result).toMatchObject(quietly);
    expect(await jobs.statuses()).toEqual({ pending: 20 });
  });

  test('that adds jobs and does not wait for them', async () => {
    const result = await run(`
      for (let n = 1; n <= 20; n++) queue.addJob({ job_type: 'job', payload: n });
    `);
    expect(result).toMatchObject(quietly);
    expect(await jobs.statuses()).toEqual({ pending: 20 });
  });

  test('that uses the queue in many ways', async () => {
    const result = await run(`
      const ids = [1, 2, 3].map((payload) => queue.addJob({ job_type: 'job', payload }));
      await queue.cancelJob((await Promise.all(ids))[0]);
      await queue.getAllJobs();
      await queue.reclaimStuckJobs();
      await queue.cleanupOldJobs();
      await queue.createProcessor({ job: async () => {} }).start();
    `);
    expect(result).toMatchObject(quietly);
    expect(await jobs.statuses()).toEqual({ cancelled: 1, completed: 2 });
  });

  test('that creates processors and starts none', async () => {
    await jobs.insert(1);
    expect(await run('for (let n = 0; n < 20; n++) queue.createProcessor({});')).toMatchObject(
      quietly,
    );
    expect(await jobs.statuses()).toEqual({ pending: 1 });
  });

  test('whose background processor is stopped, once what runs is settled', async () => {
    const [id = 0] = await jobs.insert(1);
    const result = await run(`
      const processor = queue.createProcessor({
        job: async () => {
          processor.stop();
          await new Promise((resolve) => setTimeout(resolve, 100).unref());
        },
      });
      processor.startInBackground();
    `);
    expect(result).toMatchObject(quietly);
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });

  test('whose background processor is drained, or whose queue is closed', async () => {
    const result = await run(`
      const processor = queue.createProcessor({ job: async () => {} });
      processor.startInBackground();
      await processor.stopAndDrain();
      processor.startInBackground();
      await queue.close();
    `);
    expect(result).toMatchObject(quietly);
  });

  test('also with --unhandled-rejections=strict and handlers that do their worst', async () => {
    await jobs.insert(5);
    const result = await run(`
      const worst = [
        () => { throw null; },
        () => Promise.reject(new Error('no')),
        () => ({ then() { throw new Error('then'); } }),
        () => new Promise((resolve, reject) => { reject(new Error('no')); throw new Error('x'); }),
        async () => { throw new Proxy({}, { get() { throw new Error('touched'); } }); },
      ];
      const job = (n) => worst[n - 1]();
      const listeners = { onError: () => {}, onJobFailed: () => {} };
      console.log(await queue.createProcessor({ job }, listeners).start());
      await queue.addJob({ job_type: 'abandoned', payload: null });
      const rejectsLate = queue.createProcessor({
        abandoned: () => {
          rejectsLate.stopAndDrain(0);
          const { signal } = currentJob();
          return new Promise((_, reject) => (signal.onabort = () => reject(signal.reason)));
        },
      }, { jobType: 'abandoned' });
      rejectsLate.startInBackground();
      await queue.close();
      await queue.getJob(1).catch(() => {});
    `);
    expect(result).toMatchObject({ ...quietly, stdout: '5\n' });
    expect(await jobs.statuses()).toEqual({ failed: 5, pending: 1 });
  });
});

describe('a script goes on', () => {
  test('until an awaited start has resolved, whatever its handlers wait for', async () => {
    await jobs.insert(3);
    const result = await run(`
      const job = () => new Promise((resolve) => setTimeout(resolve, 300).unref());
      console.log('ran ' + (await queue.createProcessor({ job }).start()));
    `);
    expect(result).toMatchObject({ ...quietly, stdout: 'ran 3\n' });
    expect(await jobs.statuses()).toEqual({ completed: 3 });
  });

  test('while a processor runs in the background, idle or not', async () => {
    await using script = spawn(`
      const job = async (payload) => console.log('ran ' + payload);
      queue.createProcessor({ job }, { pollInterval: 100 }).startInBackground();
      console.log('ready');
    `);
    await script.waitForLine(/ready/);
    for (const payload of ['a', 'b']) {
      await jobs.insert(1, { payload: `'"${payload}"'` });
      await script.waitForLine(new RegExp(`ran ${payload}`));
    }
  });
});

describe('works from', () => {
  const work = `
    await queue.addJob({ job_type: 'job', payload: 'hello' });
    const job = async (payload) => console.log(payload, typeof currentJob().id);
    console.log(await queue.createProcessor({ job }).start());
  `;
  const open = 'initJobQueue({ databaseConfig: { connectionString: process.env.DATABASE_URL } })';
  const inCommonJs = (load: string) => `(async () => {
    const { currentJob, initJobQueue, JobQueueError } = ${load};
    const queue = await ${open};
    ${work}
  })();`;

  test.each<[string, 'esm' | 'cjs', string]>([
    [
      'an ES module, by name',
      'esm',
      `import { currentJob, initJobQueue, JobQueueError } from 'pg-bg-job-queue';
      const queue = await ${open};
      ${work}`,
    ],
    [
      'an ES module, as a namespace and as the default',
      'esm',
      `import whole, * as namespace from 'pg-bg-job-queue';
      const { currentJob, initJobQueue } = namespace;
      if (whole.initJobQueue !== initJobQueue) throw new Error('two of them');
      const queue = await ${open};
      ${work}`,
    ],
    ['CommonJS', 'cjs', inCommonJs("require('pg-bg-job-queue')")],
    ['CommonJS, imported', 'cjs', inCommonJs("await import('pg-bg-job-queue')")],
  ])('%s', async (_, format, source) => {
    expect(await runScript(source, options({ format }))).toMatchObject({
      ...quietly,
      stdout: 'hello number\n1\n',
    });
  });
});
