/** The addon frees every object that the app no longer holds: a cron route makes a processor for each request. */
import { expect, test } from 'vitest';
import { runScript } from './helpers/child.js';
import { useDatabase } from './helpers/database.js';

const database = useDatabase();

/** Prints how many of the things that `make` makes are still there when nobody holds them. */
const count = (make: string) => `
  import { setTimeout as delay } from 'node:timers/promises';
  import { initJobQueue } from 'pg-bg-job-queue';
  const password = process.env.DATABASE_PASSWORD;
  const databaseConfig = { connectionString: process.env.DATABASE_URL };
  const handlers = { job: async () => {} };
  const queue = await initJobQueue({ databaseConfig });
  const made = [];
  const make = async () => new WeakRef(await (${make})());
  for (let n = 0; n < 5; n++) made.push(await make());
  const left = () => made.filter((each) => each.deref() !== undefined).length;
  for (let tries = 0; tries < 100 && left() > 0; tries++) {
    // What was looked at is kept until the end of the turn.
    await delay(10);
    global.gc();
  }
  console.log(left(), 'are left');
  await queue.close();
`;

test.each([
  ['a processor that was not used', `() => queue.createProcessor(handlers)`],
  [
    'a processor that ran a batch',
    `async () => {
      await queue.addJob({ job_type: 'job', payload: 1 });
      const processor = queue.createProcessor(handlers);
      await processor.start();
      return processor;
    }`,
  ],
  [
    'a processor that was stopped',
    `async () => {
      const processor = queue.createProcessor(handlers);
      processor.startInBackground();
      await processor.stopAndDrain();
      return processor;
    }`,
  ],
  [
    'a queue that is closed',
    `async () => {
      const queue = await initJobQueue({ databaseConfig });
      await queue.createProcessor(handlers).start();
      await queue.close();
      return queue;
    }`,
  ],
  [
    'a queue that asks for its password',
    `async () => {
      const { hostname: host, port, pathname, username: user } = new URL(databaseConfig.connectionString);
      const fields = { host, port: Number(port), database: pathname.slice(1), user };
      const queue = await initJobQueue({ databaseConfig: { ...fields, password: async () => password } });
      await queue.addJob({ job_type: 'other', payload: 1 });
      await queue.close();
      return queue;
    }`,
  ],
])('%s is not kept', async (_, make) => {
  const { stdout } = await runScript(count(make), {
    execArgv: ['--expose-gc'],
    env: {
      DATABASE_URL: database.url,
      DATABASE_PASSWORD: decodeURIComponent(new URL(database.url).password),
    },
  });
  expect(stdout).toBe('0 are left\n');
});

test('a processor that runs in the background is kept, though nobody holds it', async () => {
  const { stdout } = await runScript(
    `import { initJobQueue } from 'pg-bg-job-queue';
    const queue = await initJobQueue({ databaseConfig: { connectionString: process.env.DATABASE_URL } });
    const ran = new Promise((resolve) => {
      queue.createProcessor({ late: async () => resolve() }).startInBackground();
    });
    for (let n = 0; n < 20; n++) {
      global.gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await queue.addJob({ job_type: 'late', payload: 1 });
    await ran;
    console.log('it ran');
    await queue.close();`,
    { execArgv: ['--expose-gc'], env: { DATABASE_URL: database.url } },
  );
  expect(stdout).toBe('it ran\n');
});
