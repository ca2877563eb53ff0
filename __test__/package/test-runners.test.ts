import { describe, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import { useApp } from '../helpers/packages.js';
import { filesOf } from '../helpers/snippets.js';

const database = useDatabase();

/** A user's test, which looks at what test runners tamper with: realms, classes and modules. */
const usersTest = `
  test('a job runs', async () => {
    const databaseConfig = { connectionString: process.env.DATABASE_URL };
    const queue = await initJobQueue({ databaseConfig });
    try {
      const handler = mock();
      const payload = { name: 'Ada', tags: ['x'] };
      const id = await queue.addJob({ job_type: 'greet', payload });
      expect(await queue.createProcessor({ greet: handler }).start()).toBe(1);
      expect(handler).toHaveBeenCalledWith(payload);
      const job = await queue.getJob(id);
      expect(job.payload).toStrictEqual(payload);
      expect(job.created_at).toBeInstanceOf(Date);
      const error = await queue.addJob({ job_type: 7 }).catch((error) => error);
      expect(error).toBeInstanceOf(JobQueueError);
      expect(error).toBeInstanceOf(Error);
    } finally {
      await queue.close();
    }
  });`;

describe('with Jest', () => {
  const app = useApp({
    dependencies: { jest: '30.5.2' },
    files: {
      'one.test.js': `const { initJobQueue, JobQueueError } = require('pg-bg-job-queue');
        const mock = () => jest.fn(async () => {});${usersTest}`,
      'two.test.js': `const { initJobQueue, JobQueueError } = require('pg-bg-job-queue');
        const mock = () => jest.fn(async () => {});${usersTest}`,
    },
  });

  test.each([
    ['in workers', []],
    ['in one process', ['--runInBand']],
  ])(
    "a user's tests pass and the process ends: %s",
    async (_, flags) => {
      const args = ['node_modules/jest/bin/jest.js', '--rootDir=.', ...flags];
      const output = await app.run('node', args, { env: { DATABASE_URL: database.url } });
      expect(output).toContain('2 passed, 2 total');
      expect(output).not.toContain('did not exit');
    },
    120_000,
  );
});

describe('with Vitest', () => {
  const app = useApp({
    dependencies: { vitest: '4.1.12' },
    files: Object.fromEntries(
      ['one', 'two'].map((name) => [
        `${name}.test.mjs`,
        `import { initJobQueue, JobQueueError } from 'pg-bg-job-queue';
        import { expect, test, vi } from 'vitest';
        const mock = () => vi.fn(async () => {});${usersTest}`,
      ]),
    ),
  });

  test.each(['forks', 'threads', 'vmThreads', 'vmForks'])(
    "a user's tests pass in its pool %s",
    async (pool) => {
      const args = ['node_modules/vitest/vitest.mjs', 'run', `--pool=${pool}`];
      const env = { DATABASE_URL: database.url, NO_COLOR: '1' };
      expect(await app.run('node', args, { env })).toContain('Tests  2 passed (2)');
    },
    120_000,
  );
});

describe('with Vitest, the handlers of the README', () => {
  const app = useApp({
    dependencies: { vitest: '4.1.12', pg: '8.23.1' },
    files: { ...filesOf('README.md'), ...filesOf('docs/testing.md') },
  });

  test('pass the tests of docs/testing.md', async () => {
    const env = { TEST_DATABASE_URL: database.url, NO_COLOR: '1' };
    const output = await app.run('node', ['node_modules/vitest/vitest.mjs', 'run'], { env });
    expect(output).toContain('Tests  2 passed (2)');
    // A job that is left over is not in the way.
    await database.query(`select add_job('send_email', '{"to": "left@over.org"}', priority => 9)`);
    const again = await app.run('node', ['node_modules/vitest/vitest.mjs', 'run'], { env });
    expect(again).toContain('Tests  2 passed (2)');
  }, 120_000);
});
