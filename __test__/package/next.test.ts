import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import {
  buildNext,
  fullAnswers,
  fullApp,
  hotReloadedApp,
  next15,
  next16,
  routeApp,
  startNext,
  startStandalone,
} from '../helpers/next.js';
import { createPnpmWorkspace, useApp } from '../helpers/packages.js';
import { until } from '../helpers/until.js';

const database = useDatabase();

const standalone = { 'next.config.js': "module.exports = { output: 'standalone' };" };

describe.each([
  ['16, Turbopack', next16, []],
  ['16, webpack', next16, ['--webpack']],
  ['15, webpack', next15, []],
])('an app of Next.js %s that configures nothing', (_, dependencies, flags) => {
  const app = useApp({ dependencies, files: { ...fullApp, ...standalone } });

  test('builds, and runs jobs from everywhere when deployed with the traced files only', async () => {
    await buildNext(app, flags);
    await using server = await startStandalone(app, database.url);
    expect(await server.getAll(Object.keys(fullAnswers))).toEqual(fullAnswers);
  }, 600_000);
});

describe('an app that uses withJobQueue', () => {
  const app = useApp({
    dependencies: next16,
    files: {
      ...routeApp,
      'next.config.mjs': `
        import { withJobQueue } from 'pg-bg-job-queue/next';
        export default withJobQueue(async () => ({
          output: 'standalone',
          transpilePackages: ['pg-bg-job-queue'],
        }));`,
    },
  });

  test('builds, and leaves the package to Node.js', async () => {
    await buildNext(app);
    await using server = await startStandalone(app, database.url);
    expect(await server.get('/api/route')).toBe('route completed');
    const modules = `${app.folder}-deployed/node_modules`;
    expect(existsSync(`${modules}/pg-bg-job-queue/index.js`)).toBe(true);
  }, 600_000);
});

const inWeb = Object.fromEntries(
  Object.entries({ ...routeApp, ...standalone }).map(([path, file]) => [`apps/web/${path}`, file]),
);

describe('an app in a workspace of npm, which installs at the top', () => {
  const app = useApp({
    dependencies: next16,
    files: { ...inWeb, 'apps/web/package.json': { name: 'web' } },
  });

  test('builds, and runs jobs when deployed with the traced files only', async () => {
    await buildNext(app, ['--webpack'], 'apps/web');
    await using server = await startStandalone(app, database.url, 'apps/web');
    expect(await server.get('/api/route')).toBe('route completed');
  }, 600_000);
});

describe('an app in a workspace of pnpm, which links', () => {
  const app = useApp(() => createPnpmWorkspace('apps/web', { dependencies: next16, files: inWeb }));

  test.each([['--turbopack'], ['--webpack']])(
    'builds, and runs jobs when deployed with the traced files only: %s',
    async (bundler) => {
      await buildNext(app, [bundler], 'apps/web');
      await using server = await startStandalone(app, database.url, 'apps/web');
      expect(await server.get('/api/route')).toBe('route completed');
    },
    600_000,
  );
});

describe('in next dev', () => {
  const app = useApp({ dependencies: next16, files: {} });
  const bundled = 'module.exports = {};';
  const external = "module.exports = require('pg-bg-job-queue/next').withJobQueue();";

  test.each([
    ['--turbopack', bundled],
    ['--webpack', bundled],
    ['--turbopack', external],
  ])(
    'an edit leaves behind neither a queue nor a worker with the old code: %s, %s',
    async (bundler, config) => {
      await app.write({ ...hotReloadedApp('the first'), 'next.config.js': config });
      await using server = await startNext(app, ['dev', bundler], database.url);
      expect(await server.get('/api/route')).toBe('1 queue, run by the first');
      for (const version of ['the second', 'the third']) {
        await app.write(hotReloadedApp(version));
        const answer = `1 queue, run by ${version}`;
        await until(async () => (await server.get('/api/route')) === answer, { timeoutMs: 60_000 });
        for (let times = 0; times < 5; times++) {
          expect(await server.get('/api/route')).toBe(answer);
        }
      }
    },
    600_000,
  );
});
