import { join } from 'node:path';
import { expect, test } from 'vitest';
import { spawnScript } from '../helpers/child.js';
import { useDatabase } from '../helpers/database.js';
import { outsideOfTests, useApp } from '../helpers/packages.js';

const database = useDatabase();

/** What docs/deploying.md shows of a server that stays: the order is what counts. */
const graceful = (stopServer: string) => `
  const greet = async () => {
    console.log('running');
    await new Promise((resolve) => process.once('SIGTERM', () => setTimeout(resolve, 200)));
  };
  const queue = await initJobQueue({ databaseConfig: { connectionString: process.env.DATABASE_URL } });
  queue.createProcessor({ greet }).startInBackground();
  process.once('SIGTERM', async () => {
    ${stopServer}
    await queue.close();
    console.log('stopped');
  });
  const add = () => queue.addJob({ job_type: 'greet', payload: null });`;

const app = useApp({
  dependencies: { express: '5.3.0', fastify: '5.12.8' },
  files: {
    'express.mjs': `
      import express from 'express';
      import { initJobQueue } from 'pg-bg-job-queue';
      ${graceful('await new Promise((resolve) => server.close(resolve));')}
      const app = express().get('/', async (_, response) => response.send(String(await add())));
      const server = app.listen(0, () => console.log('port ' + server.address().port));`,
    'fastify.mjs': `
      import fastify from 'fastify';
      import { initJobQueue } from 'pg-bg-job-queue';
      ${graceful('await app.close();')}
      const app = fastify().get('/', async () => String(await add()));
      await app.listen();
      console.log('port ' + app.server.address().port);`,
  },
});

test.each(['express', 'fastify'])(
  'a server of %s that is told to end finishes the job that runs, and ends by itself',
  async (framework) => {
    await using server = spawnScript(
      { file: join(app.folder, `${framework}.mjs`) },
      { cwd: app.folder, env: { ...outsideOfTests, DATABASE_URL: database.url } },
    );
    const [, port] = await server.waitForLine(/port (\d+)/);
    const headers = { connection: 'close' };
    const id = await (await fetch(`http://localhost:${port}/`, { headers })).text();
    await server.waitForLine(/running/);
    server.kill('SIGTERM');
    expect(await server.exited).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('stopped'),
    });
    const rows = await database.query('select status from job_queue where id = $1', [id]);
    expect(rows).toEqual([{ status: 'completed' }]);
  },
);
