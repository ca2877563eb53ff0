/**
 * Apps in folders of their own, far from the checkout and its dependencies, in which the package is
 * installed as from npm: from the tarballs of `tools/pack.ts`.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { everyPlatform, type PackedPackages, packPackages } from '../../tools/pack.js';
import { platform } from '../../ts/addon/platform.js';

const onWindows = process.platform === 'win32';
const target = join(__dirname, '../../target');

/** The files of an app by their path. What is no text becomes JSON. */
export type Files = Record<string, string | object>;

export interface AppOptions {
  /** From npm, at exact versions. They are fetched once and kept in `target/apps`. */
  dependencies?: Record<string, string>;
  files?: Files;
  /** Default true: with the package and that of this platform. */
  installed?: boolean;
}

export interface App {
  folder: string;
  write(files: Files): Promise<void>;
  /** Runs a program; `node` is this one. Resolves to its output, rejects with it if it fails. */
  run(program: string, args: string[], options?: RunOptions): Promise<string>;
}

export interface RunOptions {
  /** Over this process's variables; `undefined` takes one away. */
  env?: NodeJS.ProcessEnv;
  /** Inside of the app. Default: its folder. */
  cwd?: string;
}

/** What Vitest sets for its tests is not what an app finds. */
export const outsideOfTests = { NODE_ENV: undefined, VITEST: undefined };

let tarballs: Promise<PackedPackages> | undefined;

/** Packs what was built last, once for the tests of a file. */
export function packed(): Promise<PackedPackages> {
  tarballs ??= packPackages([platform()], join(target, 'tmp', `packages-${process.pid}`));
  return tarballs;
}

/** An app for the tests of a file. The handle may be read at once, the app used in tests. */
export function useApp(create: AppOptions | (() => Promise<App>)): App {
  let app: App | undefined;
  beforeAll(async () => {
    app = await (typeof create === 'function' ? create() : createApp(create));
  }, 600_000);
  afterAll(async () => {
    if (app) await rm(app.folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return new Proxy({} as App, { get: (_, name) => Reflect.get(app as App, name) });
}

/** The caller removes the folder. */
export async function createApp({
  dependencies = {},
  files = {},
  installed = true,
}: AppOptions): Promise<App> {
  const folder = await mkdtemp(join(tmpdir(), 'pg-bg-job-queue-app-'));
  const app = new InstalledApp(folder);
  await cp(await template(dependencies), folder, { recursive: true, verbatimSymlinks: true });
  if (installed) {
    const { main, platforms } = await packed();
    await app.run('npm', ['install', ...quietly, main, ...platforms]);
  }
  await app.write(files);
  return app;
}

/** The same by pnpm: links to a store, with `dependencies` those of the package in the folder `member`. */
export async function createPnpmWorkspace(
  member: string,
  { dependencies = {}, files = {} }: AppOptions,
): Promise<App> {
  const app = new InstalledApp(await mkdtemp(join(tmpdir(), 'pg-bg-job-queue-app-')));
  const { main, platforms } = await packed();
  const [ours = ''] = platforms;
  const overrides = everyPlatform().map((name) => [
    `pg-bg-job-queue-${name}`,
    name === platform() ? `file:${ours}` : '-',
  ]);
  await app.write({
    ...files,
    'package.json': { name: 'workspace', private: true },
    // What pnpm reads as YAML may be JSON.
    'pnpm-workspace.yaml': { packages: [member], overrides: Object.fromEntries(overrides) },
    [`${member}/package.json`]: {
      name: 'member',
      private: true,
      dependencies: { ...dependencies, 'pg-bg-job-queue': `file:${main}` },
    },
  });
  const pnpm = join(await template({ pnpm: '10.34.9' }), 'node_modules/pnpm/bin/pnpm.cjs');
  await app.run('node', [pnpm, 'install', '--ignore-scripts']);
  return app;
}

const quietly = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];

/** A folder with `dependencies` installed, kept for the next run. */
async function template(dependencies: Record<string, string>): Promise<string> {
  const manifest = JSON.stringify({ name: 'app', private: true, dependencies });
  const name = createHash('sha256').update(manifest).digest('hex').slice(0, 16);
  const place = join(target, 'apps', name);
  if (!existsSync(place)) {
    const fetched = `${place}.${randomUUID()}`;
    await mkdir(fetched, { recursive: true });
    await writeFile(join(fetched, 'package.json'), manifest);
    await new InstalledApp(fetched).run('npm', ['install', ...quietly]);
    // Whoever is first wins; what another process has fetched meanwhile is as good.
    await rename(fetched, place).catch(() => rm(fetched, { recursive: true }));
  }
  return place;
}

class InstalledApp implements App {
  constructor(readonly folder: string) {}

  async write(files: Files): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    }
  }

  async run(program: string, args: string[], { env, cwd = '.' }: RunOptions = {}) {
    const command = program === 'node' ? process.execPath : program;
    try {
      const { stdout, stderr } = await promisify(execFile)(command, args, {
        cwd: join(this.folder, cwd),
        env: { ...process.env, ...outsideOfTests, ...env },
        shell: onWindows && program !== 'node',
        timeout: 600_000,
        maxBuffer: 1e8,
      });
      return stdout + stderr;
    } catch (error) {
      const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
      throw new Error(`${message}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`);
    }
  }
}
