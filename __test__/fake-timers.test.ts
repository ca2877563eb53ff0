import { describe, expect, test } from 'vitest';
import { runScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** What stops the clock of a process, and starts it again. */
const stops = {
  'mock.timers of node:test': `
    import { mock } from 'node:test';
    const stop = () => mock.timers.enable();
    const goOn = () => mock.timers.reset();`,
  '@sinonjs/fake-timers': `
    import { install } from '@sinonjs/fake-timers';
    let clock;
    const stop = () => { clock = install(); };
    const goOn = () => clock.uninstall();`,
};

describe.each(Object.entries(stops))('while the clock stands still by %s', (_, source) => {
  test('everything goes on, and so it does afterwards', async () => {
    const result = await runScript(
      `${source}
      import { createRouteHandler, currentJob, initJobQueue } from 'pg-bg-job-queue';
      const databaseConfig = { connectionString: process.env.DATABASE_URL };
      const handlers = { job: async () => void currentJob().id };
      const job = { job_type: 'job', payload: null };
      const work = async (queue) => {
        await queue.addJob(job);
        await queue.addJobs([job, job]);
        await queue.addJobs(Array(1_001).fill(job));
        const processor = queue.createProcessor(handlers, { batchSize: 10_000 });
        console.log(await processor.start());
        await queue.addJob(job);
        const { GET } = createRouteHandler(() => queue, handlers, { secret: 's' });
        const headers = { authorization: 'Bearer s' };
        // To read its body needs a timer of Node.js's own.
        console.log((await GET(new Request('http://localhost', { headers }))).status);
        const ran = new Promise((resolve) => {
          const background = queue.createProcessor({ job: async () => resolve(background) });
          background.startInBackground();
        });
        await queue.addJob(job);
        await (await ran).stopAndDrain();
      };
      const before = await initJobQueue({ databaseConfig });
      stop();
      await work(before);
      const meanwhile = await initJobQueue({ databaseConfig });
      await work(meanwhile);
      await meanwhile.close();
      goOn();
      await work(before);
      await before.close();`,
      { env: { DATABASE_URL: jobs.database.url } },
    );
    expect(result).toMatchObject({ code: 0, stdout: '1004\n200\n'.repeat(3) });
    expect(await jobs.statuses()).toEqual({ completed: 3 * 1006 });
  });
});
