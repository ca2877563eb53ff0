import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import { useApp } from '../helpers/packages.js';

const database = useDatabase();
const app = useApp({
  dependencies: { bun: '1.4.5', deno: '2.9.6', esbuild: '0.28.2' },
  files: {
    'work.cjs': `module.exports = async ({ initJobQueue, currentJob, JobQueueError }) => {
      const queue = await initJobQueue({ databaseConfig: { connectionString: process.env.DATABASE_URL } });
      const id = await queue.addJob({ job_type: 'greet', payload: { name: 'Ada' } });
      const greeted = [];
      const greet = async ({ name }) => void greeted.push([name, currentJob().id === id]);
      const ran = await queue.createProcessor({ greet }).start();
      const { status } = await queue.getJob(id);
      const error = await queue.addJob({}).catch((error) => error);
      await queue.close();
      console.log(JSON.stringify({ ran, greeted, status, error: error instanceof JobQueueError }));
    };`,
    'app.cjs': `require('./work.cjs')(require('pg-bg-job-queue'));`,
    'app.mjs': `
      import { currentJob, initJobQueue, JobQueueError } from 'pg-bg-job-queue';
      import work from './work.cjs';
      await work({ currentJob, initJobQueue, JobQueueError });`,
    'thread.cjs': `const { Worker } = require('node:worker_threads');
      new Worker(require.resolve('./app.cjs'), { stdout: false });`,
  },
});

/** The executable in the package of a platform: install scripts, which would link it, did not run. */
function executable(scope: string, file: string): string {
  const modules = join(app.folder, 'node_modules', scope);
  const [name = ''] = readdirSync(modules);
  return join(modules, name, file);
}

const done = { ran: 1, greeted: [['Ada', true]], status: 'completed', error: true };

test.each([
  ['CommonJS', () => ['node', 'app.cjs']],
  ['an ES module', () => ['node', 'app.mjs']],
  ['a worker thread', () => ['node', 'thread.cjs']],
  ['Node.js with the condition react-server', () => ['node', '-C', 'react-server', 'app.mjs']],
  ['Bun, CommonJS', () => [executable('@oven', 'bin/bun'), 'app.cjs']],
  ['Bun, ES module', () => [executable('@oven', 'bin/bun'), 'app.mjs']],
  ['Deno, CommonJS', () => [executable('@deno', 'deno'), 'run', '-A', 'app.cjs']],
  ['Deno, ES module', () => [executable('@deno', 'deno'), 'run', '-A', 'app.mjs']],
])(
  'adds, processes and closes, installed from npm, in %s',
  async (_, command) => {
    const [program = '', ...args] = command();
    const output = await app.run(program, args, { env: { DATABASE_URL: database.url } });
    expect(JSON.parse(output)).toEqual(done);
  },
  60_000,
);

test('adds, processes and closes in a bundle of esbuild that is beside node_modules', async () => {
  const flags = ['--bundle', '--platform=node', '--outfile=dist/app.js'];
  await app.run('node', ['node_modules/esbuild/bin/esbuild', 'app.cjs', ...flags]);
  const output = await app.run('node', ['dist/app.js'], { env: { DATABASE_URL: database.url } });
  expect(JSON.parse(output)).toEqual(done);
}, 60_000);
