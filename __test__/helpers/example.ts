/** The Next.js example as a visitor has it: a folder of its own, the package installed from npm's tarballs. */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { platform } from '../../ts/addon/platform.js';
import { type RunningScript, spawnScript } from './child.js';
import { freeAddress } from './network.js';
import { outsideOfTests, packed } from './packages.js';

const run = promisify(execFile);
const root = join(__dirname, '../..');
const example = join(root, 'examples/nextjs');
/** What somebody who took the folder would not find there. */
const leftBehind = /[\\/](?:node_modules|\.next|\.env\.local|next-env\.d\.ts)$/;
const own = { ...outsideOfTests, NEXT_TELEMETRY_DISABLED: '1' };

export interface Server extends AsyncDisposable {
  origin: string;
  script: RunningScript;
}

/** The example outside of the repository, so that nothing of the repository is found by accident. */
export async function installExample(): Promise<Example> {
  const dependencies = await installDependencies();
  const folder = await mkdtemp(join(tmpdir(), 'nextjs-example-'));
  const app = new Example(folder);
  try {
    await cp(example, folder, { recursive: true, filter: (path) => !leftBehind.test(path) });
    await cp(dependencies, folder, {
      recursive: true,
      force: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
    });
    const { main, platforms } = await packed();
    await npm(folder, 'install', main, ...platforms);
    return app;
  } catch (error) {
    await app[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the example depends on but the package itself, installed once for each lock file. */
async function installDependencies(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(example, 'package.json'), 'utf8'));
  const lock = JSON.parse(await readFile(join(example, 'package-lock.json'), 'utf8'));
  delete manifest.dependencies['pg-bg-job-queue'];
  delete lock.packages[''].dependencies['pg-bg-job-queue'];
  for (const path of ['../..', 'node_modules/pg-bg-job-queue']) delete lock.packages[path];
  const files = {
    'package.json': JSON.stringify(manifest, null, 2),
    'package-lock.json': JSON.stringify(lock, null, 2),
  };
  const hash = createHash('sha256')
    .update(JSON.stringify([files, platform()]))
    .digest('hex');
  const place = join(root, 'target/nextjs', hash.slice(0, 16));
  if (existsSync(place)) return place;
  const fresh = `${place}.${randomUUID()}`;
  await mkdir(fresh, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(fresh, name), text);
  await npm(fresh, 'ci');
  // Whoever is first wins; what another run has installed meanwhile is as good.
  await rename(fresh, place).catch(() => rm(fresh, { recursive: true }));
  return place;
}

async function npm(folder: string, ...args: string[]): Promise<void> {
  const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await run('npm', [...args, ...quietly], { cwd: folder });
}

export class Example implements AsyncDisposable {
  constructor(readonly folder: string) {}

  /** Puts this in place of the example's own next.config.ts. */
  async configure(source: string): Promise<void> {
    await writeFile(join(this.folder, 'next.config.ts'), source);
  }

  /** `next build`, from nothing. */
  async build(...args: string[]): Promise<void> {
    await rm(join(this.folder, '.next'), { recursive: true, force: true });
    const { code, stdout, stderr } = await this.#script('build', args).exited;
    if (code !== 0) throw new Error(`next build ended with ${code}:\n${stdout}\n${stderr}`);
  }

  /** `next start` of what was built last. */
  async start(env: NodeJS.ProcessEnv): Promise<Server> {
    const { port } = await freeAddress();
    return await serving(this.#script('start', ['--port', String(port)], env), port);
  }

  /** `npm run dev`, but for npm, which would keep signals to itself. */
  async dev(env: NodeJS.ProcessEnv): Promise<Server> {
    const { port } = await freeAddress();
    const script = spawnScript(
      { file: join(this.folder, 'dev/start.ts') },
      {
        cwd: this.folder,
        env: { ...own, ...env, PORT: String(port) },
        execArgv: ['--import', 'tsx'],
        timeoutMs: 240_000,
      },
    );
    const server = await serving(script, port);
    return {
      ...server,
      // The host that `next dev` answers without being told of another.
      origin: `http://localhost:${port}`,
      async [Symbol.asyncDispose]() {
        // Killed, it would leave behind what it has started.
        script.kill('SIGTERM');
        await script.exited;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  #script(command: string, args: string[], env?: NodeJS.ProcessEnv): RunningScript {
    return spawnScript(
      { file: join(this.folder, 'node_modules/next/dist/bin/next') },
      { args: [command, ...args], cwd: this.folder, env: { ...own, ...env }, timeoutMs: 240_000 },
    );
  }
}

/** The folder of a standalone build, started as its Dockerfile would: by `node server.js`. */
export async function startStandalone(folder: string, env: NodeJS.ProcessEnv): Promise<Server> {
  const { port } = await freeAddress();
  const script = spawnScript(
    { file: join(folder, 'server.js') },
    {
      cwd: folder,
      env: { ...own, ...env, PORT: String(port), HOSTNAME: '127.0.0.1' },
      timeoutMs: 240_000,
    },
  );
  return await serving(script, port);
}

/** Waits until a server says that it is ready. */
async function serving(script: RunningScript, port: number): Promise<Server> {
  try {
    await script.waitForLine(/Ready in/);
  } catch (error) {
    await script[Symbol.asyncDispose]();
    throw error;
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    script,
    [Symbol.asyncDispose]: () => script[Symbol.asyncDispose](),
  };
}
