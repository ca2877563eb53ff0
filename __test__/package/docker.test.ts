/**
 * The Dockerfile of docs/deploying.md, without Docker: each stage is a folder, in which the test does what the
 * instructions say. What it cannot show is what the images hold, and users.
 */
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import { next16, routeApp, startStandaloneIn } from '../helpers/next.js';
import { useApp } from '../helpers/packages.js';
import { filesOf } from '../helpers/snippets.js';

const database = useDatabase({ migrated: false });
const { Dockerfile = '', '.dockerignore': ignored = '' } = filesOf('docs/deploying.md');

/** Without a `public` folder, as an app may be, and with what a laptop has. */
const app = useApp({
  dependencies: next16,
  files: {
    ...routeApp,
    'next.config.js': "module.exports = { output: 'standalone' };",
    '.env.local': 'PG_BG_JOB_QUEUE_DATABASE=postgresql://laptop',
    '.next/left-behind': '',
  },
});

interface Stage {
  folder: string;
  env: Record<string, string>;
  command: string[];
}

let image: string;
const stages: Record<string, Stage> = {};
let last: Stage;

const inImage = (stage: Stage, path: string) => join(stage.folder, path);
const matches = (name: string) =>
  ignored
    .trim()
    .split('\n')
    .some((pattern) =>
      new RegExp(`^${pattern.replace('.', '\\.').replace('*', '.*')}$`).test(name),
    );

/** What `COPY . .` takes: all but what is ignored. */
async function copyContext(to: string): Promise<void> {
  for (const name of readdirSync(app.folder)) {
    if (!matches(name)) await cp(join(app.folder, name), join(to, name), { recursive: true });
  }
}

async function copy(stage: Stage, args: string[]): Promise<void> {
  const from = args.find((arg) => arg.startsWith('--from='))?.slice('--from='.length);
  const [source = '', target = ''] = args.filter((arg) => !arg.startsWith('--'));
  if (from === undefined) return copyContext(stage.folder);
  const origin = inImage(stages[from] ?? stage, source.replace('/app/', ''));
  const destination = inImage(stage, target);
  await mkdir(dirname(destination), { recursive: true });
  await cp(origin, destination, { recursive: true, verbatimSymlinks: true });
}

async function run(stage: Stage, command: string): Promise<void> {
  // There is no registry that has this version of the package: what is installed is what the app has.
  if (command === 'npm ci') {
    const modules = join(app.folder, 'node_modules');
    await cp(modules, inImage(stage, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  } else {
    const shell = command.replace('npm run build', 'node node_modules/next/dist/bin/next build');
    await app.run('sh', ['-c', `cd ${stage.folder} && ${shell}`]);
  }
}

beforeAll(async () => {
  image = await mkdtemp(join(tmpdir(), 'pg-bg-job-queue-image-'));
  for (const line of Dockerfile.split('\n').filter(Boolean)) {
    const [instruction = '', ...args] = line.split(' ');
    if (instruction === 'FROM') {
      const [base = '', , name = 'last'] = args;
      const built = stages[base];
      last = { folder: built?.folder ?? join(image, name), env: { ...built?.env }, command: [] };
      await mkdir(last.folder, { recursive: true });
      stages[name] = last;
    } else if (instruction === 'ENV') {
      Object.assign(last.env, Object.fromEntries(args.map((pair) => pair.split('='))));
    } else if (instruction === 'COPY') {
      if (!args[0]?.startsWith('package')) await copy(last, args);
    } else if (instruction === 'RUN') await run(last, args.join(' '));
    else if (instruction === 'CMD') last.command = JSON.parse(args.join(' '));
    else expect(['WORKDIR', 'USER', 'EXPOSE']).toContain(instruction);
  }
}, 600_000);
afterAll(() => rm(image, { recursive: true, force: true, maxRetries: 5 }));

test("the laptop's own files stay out", () => {
  const build = stages.build?.folder ?? '';
  expect(matches('node_modules')).toBe(true);
  expect(existsSync(join(build, '.env.local'))).toBe(false);
  expect(existsSync(join(build, '.next/left-behind'))).toBe(false);
});

test('the stage that migrates does, and the image runs jobs, reachable from outside', async () => {
  const { folder, command } = stages.migrate ?? last;
  const [npx = '', ...args] = command;
  const env = { PG_BG_JOB_QUEUE_DATABASE: database.url };
  const migrated = await app.run('sh', ['-c', `cd ${folder} && ${[npx, ...args].join(' ')}`], {
    env,
  });
  expect(migrated).toContain('migrations applied.');

  expect(last.command).toEqual(['node', 'server.js']);
  expect(last.env.HOSTNAME).toBe('0.0.0.0');
  await using server = await startStandaloneIn(last.folder, database.url, last.env);
  expect(await server.get('/api/route')).toBe('route completed');
}, 240_000);
