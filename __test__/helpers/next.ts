/** Next.js apps that add a job, run it and answer how it ended, from each place that an app has code in. */
import { existsSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { spawnScript } from './child.js';
import { freeAddress } from './network.js';
import { type App, type Files, outsideOfTests } from './packages.js';

export const next16 = { next: '16.4.6', react: '19.2.0', 'react-dom': '19.2.0' };
export const next15 = { ...next16, next: '15.5.29' };

/** An app with a route handler. JavaScript: a build without types is faster. */
export const routeApp: Files = {
  'app/layout.js':
    'export default ({ children }) => <html lang="en"><body>{children}</body></html>;',
  'app/api/route/route.js': `
    import { addAndRun } from '../../../lib/queue.js';
    export const dynamic = 'force-dynamic';
    export const GET = async () => new Response(await addAndRun('route'));`,
  'lib/greet.js': `
    import { currentJob } from 'pg-bg-job-queue';
    export const greet = async () => void currentJob().id;`,
  'lib/queue.js': `
    import { initJobQueue } from 'pg-bg-job-queue';
    import { greet } from './greet.js';
    let queue;
    export async function addAndRun(from) {
      const databaseConfig = { connectionString: process.env.DATABASE_URL };
      queue ??= initJobQueue({ databaseConfig });
      const opened = await queue;
      const id = await opened.addJob({ job_type: 'greet', payload: { from } });
      await opened.createProcessor({ greet }, { batchSize: 100 }).start();
      return from + ' ' + (await opened.getJob(id)).status;
    }`,
};

/** An app with code in every place. */
export const fullApp: Files = {
  ...routeApp,
  'app/page.js': `
    import { addAndRun } from '../lib/queue.js';
    export const dynamic = 'force-dynamic';
    export default async () => <p>{await addAndRun('component')}</p>;`,
  'app/form/page.js': `
    import { Form } from './form.js';
    export default () => <Form />;`,
  'app/form/form.js': `
    'use client';
    import { JobQueueError } from 'pg-bg-job-queue';
    import { act } from './act.js';
    export const Form = () => <form action={act}>{JobQueueError.name.length}</form>;`,
  'app/form/act.js': `
    'use server';
    import { addAndRun } from '../../lib/queue.js';
    export const act = async () => void (await addAndRun('action'));`,
  'app/api/edge/route.js': `
    import { initJobQueue, JobQueueError } from 'pg-bg-job-queue';
    export const runtime = 'edge';
    export const GET = async () => {
      const error = await initJobQueue({ databaseConfig: {} }).catch((error) => error);
      return new Response(error instanceof JobQueueError ? error.code + ' ' + error.message : '');
    };`,
  'pages/api/pages.js': `
    import { addAndRun } from '../../lib/queue.js';
    export default async (request, response) => response.send(await addAndRun('pages'));`,
  'instrumentation.js': `
    export async function register() {
      if (process.env.NEXT_RUNTIME !== 'nodejs') return;
      const { addAndRun } = await import('./lib/queue.js');
      globalThis.instrumented = await addAndRun('instrumentation');
    }`,
  'app/api/instrumentation/route.js': `
    export const dynamic = 'force-dynamic';
    export const GET = () => new Response(globalThis.instrumented);`,
};

/** What the paths of the full app answer. */
export const fullAnswers = {
  '/': expect.stringContaining('component completed'),
  '/api/route': 'route completed',
  '/api/pages': 'pages completed',
  '/api/instrumentation': 'instrumentation completed',
  '/api/edge': expect.stringMatching(/^ADDON_UNAVAILABLE .* needs the Node.js runtime/),
};

/**
 * An app as a developer writes it who knows nothing of hot reloading: a module opens the queue and starts a
 * worker when it is first used. The route tells how many queues there have been, and which version of the handler ran
 * the jobs that it added.
 */
export const hotReloadedApp = (version: string): Files => ({
  'app/layout.js': routeApp['app/layout.js'] as string,
  'lib/queue.js': `
    import { initJobQueue } from 'pg-bg-job-queue';
    const greet = async ({ id }) => globalThis.ranBy.push([id, '${version}']);
    const databaseConfig = { connectionString: process.env.DATABASE_URL };
    const opening = initJobQueue({ databaseConfig }).then((queue) => {
      queue.createProcessor({ greet }, { pollInterval: 20 }).startInBackground();
      globalThis.ranBy ??= [];
      globalThis.queues ??= new Set();
      globalThis.queues.add(queue);
      return queue;
    });
    export const addJobs = async (id) => {
      const queue = await opening;
      const job = { job_type: 'greet', payload: { id } };
      const ids = await queue.addJobs(Array(10).fill(job));
      const isDone = async (id) => (await queue.getJob(id)).status === 'completed';
      for (const id of ids) while (!(await isDone(id)));
      const versions = globalThis.ranBy.filter(([by]) => by === id).map(([, version]) => version);
      return globalThis.queues.size + ' queue, run by ' + [...new Set(versions)].sort();
    };`,
  'app/api/route/route.js': `
    import { randomUUID } from 'node:crypto';
    import { addJobs } from '../../../lib/queue.js';
    export const dynamic = 'force-dynamic';
    export const GET = async () => new Response(await addJobs(randomUUID()));`,
});

/** The program: of a member of a workspace, where it is installed there. */
function nextOf(app: App, web: string): string {
  const program = 'node_modules/next/dist/bin/next';
  const own = join(app.folder, web, program);
  return existsSync(own) ? own : join(app.folder, program);
}

const quiet = { ...outsideOfTests, NEXT_TELEMETRY_DISABLED: '1' };

/** `next build` in the folder `web` of the app. */
export async function buildNext(app: App, flags: string[] = [], web = '.'): Promise<void> {
  await app.run('node', [nextOf(app, web), 'build', ...flags], { cwd: web, env: quiet });
}

export interface NextServer extends AsyncDisposable {
  readonly port: number;
  /** The body of the answer to a GET. */
  get(path: string): Promise<string>;
  /** The bodies by their path. */
  getAll(paths: string[]): Promise<Record<string, string>>;
  /** What it has printed so far. */
  readonly output: string;
}

/** `next start` or `next dev`. */
export function startNext(
  app: App,
  command: string[],
  databaseUrl: string,
  env?: NodeJS.ProcessEnv,
): Promise<NextServer> {
  return serve(nextOf(app, '.'), command, app.folder, { DATABASE_URL: databaseUrl, ...env });
}

/**
 * The server of `output: 'standalone'`, as an image of Docker has it: the files that were traced, and
 * nothing else, in another folder.
 */
export async function startStandalone(
  app: App,
  databaseUrl: string,
  web = '.',
): Promise<NextServer> {
  const deployed = `${app.folder}-deployed`;
  await cp(join(app.folder, web, '.next/standalone'), deployed, {
    recursive: true,
    verbatimSymlinks: true,
  });
  const env = { DATABASE_URL: databaseUrl };
  return serve(join(deployed, web, 'server.js'), [], deployed, env, deployed);
}

/** The server of `output: 'standalone'` in a folder that is an image already, with the image's variables. */
export function startStandaloneIn(
  folder: string,
  databaseUrl: string,
  env: NodeJS.ProcessEnv,
): Promise<NextServer> {
  return serve(join(folder, 'server.js'), [], folder, { DATABASE_URL: databaseUrl, ...env });
}

async function serve(
  file: string,
  args: string[],
  cwd: string,
  variables: NodeJS.ProcessEnv,
  deployed?: string,
): Promise<NextServer> {
  const { port } = await freeAddress();
  const server = spawnScript(
    { file },
    {
      args,
      cwd,
      timeoutMs: 600_000,
      env: { ...quiet, PORT: String(port), HOSTNAME: '127.0.0.1', ...variables },
    },
  );
  await server.waitForLine(/Ready in/);
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const body = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${body}\n${server.stderr}`);
    return body;
  };
  return {
    port,
    get,
    async getAll(paths) {
      const answers: Record<string, string> = {};
      for (const path of paths) answers[path] = await get(path);
      return answers;
    },
    get output() {
      return server.stdout + server.stderr;
    },
    async [Symbol.asyncDispose]() {
      // `next dev` is the parent of the server, and would leave it behind if it were killed.
      server.kill('SIGTERM');
      await server.exited;
      if (deployed) await rm(deployed, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
