/** The README's quick start, followed to the letter in a fresh Next.js app. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { useDatabase } from '../helpers/database.js';
import { buildNext, next16, startNext } from '../helpers/next.js';
import { type App, createApp, outsideOfTests, useApp } from '../helpers/packages.js';
import { filesOf, fragmentsOf } from '../helpers/snippets.js';
import { until } from '../helpers/until.js';

const database = useDatabase({ migrated: false });
const blocks = fragmentsOf('README.md', 'sh');

/** The one block of the README that begins so. */
function block(beginning: string): string {
  const found = blocks.filter((text) => text.startsWith(beginning));
  expect(found).toHaveLength(1);
  return found[0]?.trim() ?? '';
}

/** What `create-next-app` makes, without the linter, and without the fonts that a build gets from elsewhere. */
async function createFreshApp(): Promise<App> {
  const scaffold = await createApp({
    dependencies: { 'create-next-app': '16.4.3' },
    installed: false,
  });
  try {
    const create = ['node_modules/create-next-app/dist/index.js', 'fresh', '--yes'];
    const flags = ['--empty', '--no-eslint', '--use-npm', '--skip-install', '--disable-git'];
    await scaffold.run('node', [...create, ...flags]);
    const fresh = join(scaffold.folder, 'fresh');
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(fresh, 'package.json'), 'utf8'),
    );
    const app = await createApp({
      dependencies: { ...dependencies, ...devDependencies, next: next16.next },
    });
    await cp(fresh, app.folder, { recursive: true });
    return app;
  } finally {
    await rm(scaffold.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The strictest that TypeScript has, over the settings of the app. */
const strict = {
  extends: './tsconfig.json',
  compilerOptions: {
    exactOptionalPropertyTypes: true,
    noFallthroughCasesInSwitch: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noPropertyAccessFromIndexSignature: false,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
  },
};

/** Answers in the mailer's place: 503 to the first email, 200 to the others. Tells the key of each. */
const mailer = `
  const { fetch } = globalThis;
  let emails = 0;
  globalThis.fetch = async (url, init) => {
    if (new URL(url?.url ?? url).host !== 'api.resend.com') return fetch(url, init);
    console.log('email ' + init.headers['Idempotency-Key'] + ' ' + init.body);
    return new Response('{}', { status: emails++ === 0 ? 503 : 200 });
  };`;

const app = useApp(createFreshApp);
const withMailer = () => ({ NODE_OPTIONS: `--import=${join(app.folder, 'mailer.mjs')}` });

beforeAll(async () => {
  const variables = block('PG_BG_JOB_QUEUE_DATABASE=');
  await app.write({
    ...filesOf('README.md'),
    '.env.local': variables.replace(/(?<=DATABASE=).*/, database.url),
    'tsconfig.strict.json': strict,
    'mailer.mjs': mailer,
    // The reader's own page: the action of step 4, called by a form.
    'app/welcome/route.ts': `
      import { sendWelcome } from '@/app/jobs/email';
      export const POST = async () =>
        Response.json(await sendWelcome({ name: 'Ada', email: 'ada@example.com' }));`,
  });
  const [npx = '', ...args] = block('npx pg-bg-job-queue-cli').split(' ');
  expect(await app.run(npx, args)).toContain('migrations applied.');
}, 600_000);

const secret = () => /CRON_SECRET=(.*)/.exec(block('PG_BG_JOB_QUEUE_DATABASE='))?.[1] ?? '';

async function addWelcome(port: number): Promise<number> {
  const response = await fetch(`http://localhost:${port}/welcome`, { method: 'POST' });
  expect(response.status).toBe(200);
  return Number(await response.text());
}

async function jobOf(id: number) {
  const [job] = await database.query('select * from job_queue where id = $1', [id]);
  return job;
}

test('it compiles, with types as strict as they get', async () => {
  await app.run('node', ['node_modules/next/dist/bin/next', 'typegen']);
  const tsc = ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.strict.json'];
  expect(await app.run('node', tsc)).toBe('');
}, 240_000);

describe('built and started', () => {
  beforeAll(() => buildNext(app), 600_000);

  test('the route runs what the action added, and tries again what the mailer refused', async () => {
    await using server = await startNext(app, ['start'], '', withMailer());
    const cron = async (authorization: string) => {
      const url = `http://localhost:${server.port}/api/cron/jobs`;
      const response = await fetch(url, { headers: { authorization } });
      return { status: response.status, ...((await response.json()) as object) };
    };
    const id = await addWelcome(server.port);
    expect(await cron('Bearer guessed')).toMatchObject({ status: 401 });
    expect(await cron(`Bearer ${secret()}`)).toMatchObject({ status: 200, processed: 0 });

    await database.query('update job_queue set run_at = now()');
    expect(await cron(`Bearer ${secret()}`)).toMatchObject({ processed: 1, failed: 1 });
    expect(await jobOf(id)).toMatchObject({
      status: 'failed',
      next_attempt_at: expect.any(Date),
      error_history: [{ message: expect.stringContaining('The mailer answered 503') }],
    });

    await database.query('update job_queue set next_attempt_at = now()');
    expect(await cron(`Bearer ${secret()}`)).toMatchObject({ processed: 1, completed: 1 });
    const emails = server.output.match(/^email job-\d+/gm);
    expect(emails).toEqual([`email job-${id}`, `email job-${id}`]);
  }, 240_000);
});

test('on the own machine, the line that the README gives has jobs run', async () => {
  await using server = await startNext(app, ['dev'], '', withMailer());
  const line = block('node --env-file');
  // Characters that a shell, of whichever kind, would not leave as they are, must not be in it.
  const [, envFile = '', source = ''] = /^node (\S+) -e "([^"$`\\!%]+)"$/.exec(line) ?? [];
  const calls = spawn(
    process.execPath,
    [envFile, '-e', source.replace('localhost:3000', `localhost:${server.port}`)],
    { cwd: app.folder, env: { ...process.env, ...outsideOfTests }, stdio: 'inherit' },
  );
  try {
    const id = await addWelcome(server.port);
    await database.query('update job_queue set run_at = now() where id = $1', [id]);
    await until(async () => (await jobOf(id))?.attempts === 1, { timeoutMs: 60_000 });
  } finally {
    const ended = once(calls, 'exit');
    calls.kill();
    await ended;
  }
}, 240_000);
