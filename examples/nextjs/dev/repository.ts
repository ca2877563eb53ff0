/** What `npm run dev` can do by itself in the repository of pg-bg-job-queue. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../../../tools/embedded-postgres.js';
import { ensureBuilt } from '../../demo/build.js';

/** Builds the package, and installs what the app depends on, where that is not done or out of date. */
export async function prepare(app: string, signal: AbortSignal): Promise<void> {
  await ensureBuilt({ say: (line) => console.log(line), restartClock() {} }, signal);
  const modified = (file: string) => statSync(join(app, file), { throwIfNoEntry: false })?.mtimeMs;
  const installed = modified('node_modules/.package-lock.json') ?? 0;
  if (installed >= (modified('package-lock.json') ?? 0)) return;

  console.log('Installing what the example depends on: `npm ci`, once.');
  const npm = spawn('npm ci --no-audit --no-fund', { shell: true, cwd: app, stdio: 'inherit' });
  const [code] = await once(npm, 'exit');
  signal.throwIfAborted();
  if (code !== 0) throw new Error('npm ci failed: see above.');
}

/** A Postgres server of its own, in a temporary folder that is gone afterwards. */
export async function startDatabase(): Promise<{ url: string; stop(): Promise<void> }> {
  console.log('Starting a Postgres server for the example, gone when it ends.');
  const server = await startPostgres();
  // Whatever PGSSLMODE says: this server has no certificate.
  return { url: `${server.url()}?sslmode=disable`, stop: () => server.stop() };
}
