import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import {
  buildNext,
  fullAnswers,
  fullApp,
  next15,
  next16,
  routeApp,
  startNext,
  startStandalone,
} from '../helpers/next.js';
import { useApp } from '../helpers/packages.js';

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
  }, 300_000);
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
  }, 300_000);
});

describe('in next dev', () => {
  const app = useApp({ dependencies: next16, files: routeApp });

  test.each(['--turbopack', '--webpack'])(
    'an edit leaves no second queue behind: %s',
    async (bundler) => {
      await using server = await startNext(app, ['dev', bundler], database.url);
      expect(await server.get('/api/route')).toBe('route completed');
    },
    300_000,
  );
});
