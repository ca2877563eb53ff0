/**
 * `npm run dev`: everything that the app needs, in one terminal, until Ctrl-C. A Postgres server, unless
 * PG_BG_JOB_QUEUE_DATABASE names one; the migration; `next dev`; and calls of the cron routes.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.js';
import { startScheduler } from './scheduler.js';

const app = join(__dirname, '..');
const { env } = process;

async function main(): Promise<void> {
  process.chdir(app);
  const interruption = new AbortController();
  const { signal } = interruption;
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interruption.abort());

  if (existsSync('.env.local')) process.loadEnvFile('.env.local');
  const inRepository = existsSync(join(app, '../../tools/embedded-postgres.ts'));
  const repository = inRepository ? await import('./repository.js') : undefined;
  await repository?.prepare(app, signal);

  if (!env.PG_BG_JOB_QUEUE_DATABASE && !repository) {
    throw new Error(
      'Name your Postgres as PG_BG_JOB_QUEUE_DATABASE in .env.local: see .env.example.',
    );
  }
  const server = env.PG_BG_JOB_QUEUE_DATABASE ? undefined : await repository?.startDatabase();
  try {
    signal.throwIfAborted();
    if (server) env.PG_BG_JOB_QUEUE_DATABASE = server.url;
    env.CRON_SECRET ||= randomUUID();
    const port = await freePort(Number(env.PORT) || 3000);

    await run(['node_modules/pg-bg-job-queue/cli.js', 'migrate'], signal);
    startScheduler(`http://localhost:${port}`, env.CRON_SECRET, signal);
    await run(['node_modules/next/dist/bin/next', 'dev', '--port', String(port)], signal);
  } finally {
    interruption.abort();
    await server?.stop();
  }
}

/** Runs a Node program to its end, and ends it when the signal aborts. */
async function run(args: string[], signal: AbortSignal): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  const end = () => child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  const [code] = await once(child, 'exit');
  signal.removeEventListener('abort', end);
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`${args.slice(0, 2).join(' ')} failed: see above.`);
}

main().catch((error: Error) => {
  if (error.name === 'AbortError') return;
  console.error(error.message);
  process.exitCode = 1;
});
