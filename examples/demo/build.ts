import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Display } from './display.js';

export const root = join(__dirname, '../..');
export const cli = join(root, 'cli.js');

/** Builds the package, unless it is there and its addon loads on this machine. */
export async function ensureBuilt(
  display: Pick<Display, 'say' | 'restartClock'>,
  signal: AbortSignal,
): Promise<void> {
  const loaded = await loads();
  // A Ctrl-C ends the attempt, too, which then looks like a failure.
  signal.throwIfAborted();
  if (loaded) return;
  display.say(
    'The package is not built yet: `npm run build` compiles its Rust, which takes about three minutes, once.',
    'bold',
  );
  await build(signal);
  display.say('The package is built.');
  display.restartClock();
}

/** The one command of the CLI that needs the addon but no database. */
async function loads(): Promise<boolean> {
  const attempt = promisify(execFile)(process.execPath, [cli, 'migrate', '--print-sql']);
  return attempt.then(
    () => true,
    () => false,
  );
}

async function build(signal: AbortSignal): Promise<void> {
  // A process group of its own can be ended as a whole, with the compilers in it.
  const detached = process.platform !== 'win32';
  const npm = spawn('npm run build', {
    shell: true,
    cwd: root,
    detached,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const end = () => {
    if (detached && npm.pid) process.kill(-npm.pid, 'SIGTERM');
    else npm.kill();
  };
  signal.addEventListener('abort', end, { once: true });
  const code = await new Promise((resolve) => {
    npm.once('error', resolve);
    npm.once('exit', resolve);
  });
  signal.removeEventListener('abort', end);
  signal.throwIfAborted();
  if (code !== 0) {
    throw new Error(
      'npm run build failed: see above. It needs Rust (https://rustup.rs) and a linker.',
    );
  }
}
