/** What `npm run dev` does by itself in the repository of pg-bg-job-queue. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../../../tools/embedded-postgres.js';
import { packPackages } from '../../../tools/pack.js';
import { platform } from '../../../ts/addon/platform.js';
import { ensureBuilt, root } from '../../demo/build.js';

/** Builds the package and installs what the app depends on, where that is missing or out of date. */
export async function prepare(app: string, signal: AbortSignal): Promise<void> {
  await ensureBuilt({ say: (line) => console.log(line), restartClock() {} }, signal);
  const modules = join(app, 'node_modules');
  if (isOlder(join(modules, '.package-lock.json'), join(app, 'package-lock.json'))) {
    console.log('Installing what the example depends on: `npm ci`, once.');
    await install(app, signal);
  }
  if (isOlder(join(modules, 'pg-bg-job-queue/index.js'), join(root, 'index.js'))) {
    await installPackage(modules);
  }
}

async function install(app: string, signal: AbortSignal): Promise<void> {
  const npm = spawn('npm ci --no-audit --no-fund', { shell: true, cwd: app, stdio: 'inherit' });
  const [code] = await once(npm, 'exit');
  signal.throwIfAborted();
  if (code !== 0) throw new Error('npm ci failed: see above.');
}

/**
 * Puts this checkout's package in the place of npm's link to it. Next.js takes what lies in node_modules
 * for a package, and what a link leads to for a part of the app.
 */
async function installPackage(modules: string): Promise<void> {
  const packed = join(root, 'target/example');
  await packPackages([platform()], packed);
  for (const name of ['pg-bg-job-queue', `pg-bg-job-queue-${platform()}`]) {
    rmSync(join(modules, name), { recursive: true, force: true });
    cpSync(join(packed, name), join(modules, name), { recursive: true });
  }
}

/** Whether a file is older than another, missing, or behind a link. */
function isOlder(file: string, other: string): boolean {
  const isLinked = lstatSync(join(file, '..'), { throwIfNoEntry: false })?.isSymbolicLink();
  const time = lstatSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return isLinked || time === undefined || time < lstatSync(other).mtimeMs;
}

/** A Postgres server of its own, in a temporary folder that is gone afterwards. */
export async function startDatabase(): Promise<{ url: string; stop(): Promise<void> }> {
  console.log('Starting a Postgres server for the example, gone when it ends.');
  const server = await startPostgres();
  // Whatever PGSSLMODE says: this server has no certificate.
  return { url: `${server.url()}?sslmode=disable`, stop: () => server.stop() };
}
