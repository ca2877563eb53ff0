import { describe, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import { useApp } from '../helpers/packages.js';

const database = useDatabase();

/** Uses what the package loads late too: TLS's authorities, `node:crypto`, node-postgres. */
const source = `
  import { createRouteHandler, currentJob, initJobQueue, JobQueueError } from 'pg-bg-job-queue';
  async function main() {
    const connectionString = process.env.DATABASE_URL;
    await (await initJobQueue({ databaseConfig: { connectionString, ssl: true } })).close();
    const queue = await initJobQueue({ databaseConfig: { connectionString } });
    const id = await queue.addJob({ job_type: 'greet', payload: { name: 'Ada' } });
    const greeted = [];
    const greet = async ({ name }) => void greeted.push([name, currentJob().id === id]);
    const { GET } = createRouteHandler(() => queue, { greet }, { secret: 's' });
    const headers = { authorization: 'Bearer s' };
    const { completed } = await (await GET(new Request('http://localhost', { headers }))).json();
    const error = await queue.addJob({}).catch((error) => error);
    const { rows } = await queue.getPool().query('select status from job_queue where id = $1', [id]);
    await queue.close();
    console.log(JSON.stringify({ completed, greeted, rows, error: error instanceof JobQueueError }));
  }
  main();`;

const done = {
  completed: 1,
  greeted: [['Ada', true]],
  rows: [{ status: 'completed' }],
  error: true,
};

const app = useApp({
  dependencies: {
    '@rollup/plugin-commonjs': '29.0.3',
    '@rollup/plugin-node-resolve': '16.0.3',
    esbuild: '0.28.2',
    pg: '8.23.1',
    rollup: '4.68.8',
    vite: '8.4.0',
  },
  files: { 'app.mjs': source },
});

const viteConfig = (format: string, file: string) => `
  export default {
    ssr: { noExternal: true },
    build: {
      ssr: 'app.mjs',
      rollupOptions: { output: { format: '${format}', entryFileNames: '${file}' } },
    },
  };`;

type Bundle = (format: 'esm' | 'cjs', file: string) => Promise<unknown>;

describe.each<[string, Bundle]>([
  [
    'esbuild',
    (format, file) =>
      app.run('node', [
        'node_modules/esbuild/bin/esbuild',
        'app.mjs',
        '--bundle',
        '--platform=node',
        `--format=${format}`,
        `--outfile=dist/${file}`,
      ]),
  ],
  [
    'Rollup',
    (format, file) =>
      app.run('node', [
        ...['node_modules/rollup/dist/bin/rollup', 'app.mjs', '-p', 'node-resolve,commonjs'],
        ...['-f', format, '-o', `dist/${file}`],
      ]),
  ],
  [
    'Vite for a server',
    async (format, file) => {
      await app.write({ 'vite.config.mjs': viteConfig(format, file) });
      await app.run('node', ['node_modules/vite/bin/vite.js', 'build']);
    },
  ],
])('in a bundle of %s', (_, bundle) => {
  test.each([
    ['esm', 'app.mjs'],
    ['cjs', 'app.cjs'],
  ] as const)(
    'adds, processes and closes, beside node_modules, as %s',
    async (format, file) => {
      await bundle(format, file);
      const output = await app.run('node', [`dist/${file}`], {
        env: { DATABASE_URL: database.url },
      });
      expect(JSON.parse(output)).toEqual(done);
    },
    120_000,
  );
});
