/** The Next.js example as a visitor meets it: installed, built, started, and used in a browser. */
import { cp, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { openBrowser, Visitor } from '../helpers/browser.js';
import { createDatabase, useDatabase } from '../helpers/database.js';
import { describeWith } from '../helpers/describe-with.js';
import { type Example, installExample, type Server, startStandalone } from '../helpers/example.js';
import { until } from '../helpers/until.js';

// Whole journeys in a browser, on a machine that may have more to do.
vi.setConfig({ testTimeout: 90_000 });

const secret = 'the-secret-of-this-test';

const zeroConfig = 'export default {};';
/** With more options; types are checked once, in the build without any. */
const withJobQueue = (options: object = {}) => `
  import { withJobQueue } from 'pg-bg-job-queue/next';
  const options = ${JSON.stringify(options)};
  export default withJobQueue({ ...options, typescript: { ignoreBuildErrors: true } });
`;

/** What the cron service does. */
async function call(origin: string, path: string, headers = { authorization: `Bearer ${secret}` }) {
  const response = await fetch(`${origin}/api/cron/${path}`, { headers });
  const answer = (await response.json()) as Record<string, unknown>;
  return { status: response.status, ...answer };
}

describeWith('chromium', 'the Next.js example', (chromium) => {
  const database = useDatabase();
  let example: Example;
  let browser: Browser;
  let server: Server;
  let visitor: Visitor;

  beforeAll(async () => {
    [example, browser] = await Promise.all([installExample(), openBrowser(chromium)]);
  }, 600_000);
  afterAll(async () => {
    await browser?.close();
    await example?.[Symbol.asyncDispose]();
  });

  const environment = () => ({ PG_BG_JOB_QUEUE_DATABASE: database.url, CRON_SECRET: secret });

  /** A server for the tests of a block, and for each of them an empty queue and a new visitor. */
  function useServer(open: () => Promise<Server>) {
    beforeAll(async () => {
      server = await open();
    }, 600_000);
    afterAll(() => server?.[Symbol.asyncDispose]());
    beforeEach(async () => {
      await database.query('truncate job_queue restart identity');
      visitor = await Visitor.at(browser, server.origin);
    });
    afterEach(async () => {
      await visitor.leave();
      expect(visitor.complaints).toEqual([]);
    });
  }

  const processJobs = () => call(server.origin, 'process');

  /** What must work however the app was built. */
  function theJourneyOfAJob(builtHow: string) {
    test('an email that a visitor adds is sent when cron calls, and the page shows it', async () => {
      const id = await visitor.add('Send an email', { To: 'ada@example.com' });
      await visitor.sees(id, 'pending');
      await visitor.seesCount('pending', 1);
      expect(await processJobs()).toMatchObject({ status: 200, processed: 1 });
      await visitor.sees(id, 'completed');
      await visitor.seesCount('completed', 1);
    });

    test('an email that fails can be retried, and its page tells what happened', async () => {
      const id = await visitor.add('Send an email', { To: 'flaky@example.com' });
      await processJobs();
      await visitor.sees(id, 'failed');
      await visitor.sees(id, 'retries in 2 minutes');
      await visitor.sees(id, '451: try again later');
      await visitor.sees(id, 'attempt 1 of 3');
      expect(server.script.stdout + server.script.stderr).toContain('451: try again later');
      await visitor.job(id).getByRole('link').click();
      const { page } = visitor;
      const errors = page.getByRole('region', { name: 'Error history' });
      await errors.getByText('451: try again later', { exact: true }).waitFor();
      await errors.getByText(/Attempt 1, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/).waitFor();
      await visitor.screenshot(`job-${builtHow}`);
      await page.getByRole('button', { name: 'Retry' }).click();
      const state = page.locator('article > [role=status]');
      await state.getByText('pending').waitFor();
      expect(await processJobs()).toMatchObject({ processed: 1 });
      await state.getByText('completed').waitFor();
      expect(await page.getByRole('term').allInnerTexts()).toContain('next_attempt_at');
    });
  }

  describe.each([
    { name: 'turbopack', config: zeroConfig, flags: ['--turbopack'] },
    { name: 'webpack', config: withJobQueue(), flags: ['--webpack'] },
  ])('built by $name', ({ name, config, flags }) => {
    useServer(async () => {
      await example.configure(config);
      await example.build(...flags);
      return await example.start(environment());
    });
    theJourneyOfAJob(name);

    if (name !== 'turbopack') return;

    test('an empty queue says what to try, and a row only what is worth it', async () => {
      const { page } = visitor;
      await page.getByText('fail@example.com, which is given up').waitFor();
      const plain = await visitor.add('Send an email', { To: 'a@example.com' });
      const urgent = await visitor.add('Send an email', { To: 'a@example.com', Priority: '5' });
      await visitor.sees(urgent, 'priority 5');
      expect(await visitor.job(plain).innerText()).not.toMatch(/attempt|priority/);
    });

    test('a report is seen while it runs', async () => {
      // Three run at a time: the visitor's comes last, and is under way for as long as two take.
      await database.query(
        `insert into job_queue (job_type, payload, priority)
        select 'generate_report', '{"reportId": "r", "userId": "u"}', 1 from generate_series(1, 3)`,
      );
      const report = { Report: 'sales', 'For user': 'ada' };
      const id = await visitor.add('Generate a report', report);
      // Asked for twice, it is one job.
      await visitor.submit('Generate a report', report);
      await visitor.page.getByText('This report is on its way already').waitFor();
      const processed = processJobs();
      await visitor.sees(id, 'processing');
      await visitor.screenshot('processing');
      expect(await processed).toMatchObject({ processed: 4 });
      await visitor.sees(id, 'completed');
    });

    test('what is wrong with an entry is said beside it, and nothing is added', async () => {
      const form = await visitor.submit('Send an email', { To: 'ada', Priority: '101', Delay: '' });
      const to = form.getByLabel('To', { exact: true });
      await form.getByText('Enter an address such as').waitFor();
      await form.getByText('Enter 100 or less.').waitFor();
      expect(await to.getAttribute('aria-invalid')).toBe('true');
      expect(await to.inputValue()).toBe('ada');
      expect(await form.locator(':focus').getAttribute('name')).toBe('to');
      await visitor.screenshot('refused');
      await visitor.seesCount('all', 0);
      await to.fill('ada@example.com');
      await form.getByLabel('Priority').fill('100');
      await to.press('Enter');
      await visitor.seesCount('pending', 1);
    });

    test('priority and delay decide what runs, and when', async () => {
      const later = await visitor.add('Send an email', { To: 'a@example.com', Delay: '3600' });
      const last = await visitor.add('Send an email', { To: 'b@example.com' });
      const first = await visitor.add('Send an email', { To: 'c@example.com', Priority: '7' });
      await visitor.sees(later, 'due in 60 minutes');
      expect(await processJobs()).toMatchObject({ processed: 2 });
      await visitor.sees(last, 'completed');
      const ran = await database.query<{ id: number }>(
        `select id::int from job_queue where status = 'completed' order by priority desc`,
      );
      expect(ran).toEqual([{ id: first }, { id: last }]);
      await visitor.sees(later, 'pending');
    });

    test('a job is cancelled, and brought back', async () => {
      const id = await visitor.add('Send an email', { To: 'ada@example.com', Delay: '3600' });
      await visitor
        .job(id)
        .getByRole('button', { name: `Cancel: job ${id}` })
        .click();
      await visitor.sees(id, 'cancelled');
      expect(await processJobs()).toMatchObject({ processed: 0 });
      await visitor
        .job(id)
        .getByRole('button', { name: `Retry: job ${id}` })
        .click();
      await visitor.sees(id, 'pending');
      expect(await processJobs()).toMatchObject({ processed: 1 });
      await visitor.sees(id, 'completed');
    });

    test('all upcoming jobs of a type and a priority are cancelled, and no others', async () => {
      const email = await visitor.add('Send an email', { To: 'a@example.com' });
      const urgent = await visitor.add('Send an email', { To: 'a@example.com', Priority: '5' });
      const report = { Report: 'sales', 'For user': 'ada', Priority: '5' };
      const urgentReport = await visitor.add('Generate a report', report);
      const form = await visitor.form('Cancel upcoming jobs');
      await form.getByLabel('Type').selectOption('Email');
      await visitor.submit('Cancel upcoming jobs', { Priority: '5' });
      await form.getByText('Cancelled 1 job.').waitFor();
      await visitor.sees(urgent, 'cancelled');
      await visitor.sees(email, 'pending');
      await visitor.sees(urgentReport, 'pending');
      expect(await form.getByLabel('Type').inputValue()).toBe('send_email');
    });

    test('lists are by status, and have pages', async () => {
      await database.query(
        `insert into job_queue (job_type, payload, status)
        select 'generate_report', '{"reportId": "r", "userId": "u"}',
          case when n = 13 then 'completed' else 'pending' end
        from generate_series(1, 13) n`,
      );
      await visitor.seesCount('pending', 12);
      const { page } = visitor;
      await page.getByRole('link', { name: '12 pending' }).click();
      await visitor.job(13).waitFor({ state: 'detached' });
      await visitor.sees(12, 'pending');
      await page.getByRole('link', { name: 'Older' }).click();
      await page.getByText('Page 2 of 2').waitFor();
      await visitor.sees(1, 'pending');
      expect(await page.locator('[data-job]').count()).toBe(2);
      await page.getByRole('link', { name: 'Newer' }).click();
      await visitor.sees(3, 'pending');
      await page.getByRole('link', { name: '0 failed' }).click();
      await page.getByText('No failed jobs.').waitFor();
    });

    test('the pages fit a phone', async () => {
      const fails = await visitor.add('Send an email', { To: 'fail@example.com' });
      await visitor.add('Send an email', { To: `${'long'.repeat(12)}@example.com` });
      await processJobs();
      await visitor.sees(fails, 'failed');
      const { page } = visitor;
      await page.emulateMedia({ colorScheme: 'dark' });
      await visitor.screenshot('dark');
      await page.setViewportSize({ width: 360, height: 740 });
      const overflow = 'document.documentElement.scrollWidth - innerWidth';
      expect(await page.evaluate(overflow)).toBe(0);
      await visitor.screenshot('phone');
      const boxOf = async (locator: Locator) => {
        const box = await locator.boundingBox();
        if (!box) throw new Error('not to be seen');
        return box;
      };
      expect((await boxOf(page.getByRole('banner'))).height).toBeLessThan(64);
      const list = await boxOf(page.locator('[data-job]').last());
      expect(list.y).toBeLessThan(320);
      await visitor.job(fails).getByRole('link').click();
      const errors = await boxOf(page.getByRole('region', { name: 'Error history' }));
      expect(errors.y).toBeLessThan((await boxOf(page.getByRole('term').first())).y);
      expect(errors.y).toBeLessThan(740 / 2);
      await page.getByText('Stack').click();
      expect(await page.evaluate(overflow)).toBe(0);
      await visitor.screenshot('phone-job');
    });

    test('the page asks for news while it is seen, and while that is wanted', async () => {
      const { page } = visitor;
      await page.clock.install();
      await visitor.open('/');
      let asked = 0;
      page.on('request', (request) => {
        if (request.url().includes('_rsc=')) asked += 1;
      });
      const asksWithin = async (milliseconds: number) => {
        asked = 0;
        const answered = page.waitForResponse(/_rsc=/);
        answered.catch(() => {});
        await page.clock.runFor(milliseconds);
        if (asked > 0) await answered;
        return asked;
      };
      const turnHidden = (hidden: boolean) =>
        page.evaluate(`
          Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        `);

      await until(async () => (await asksWithin(2_000)) > 0);
      const toggle = page.getByRole('button', { name: 'Live updates' });
      await toggle.click();
      expect(await toggle.getAttribute('aria-pressed')).toBe('false');
      // What was asked before may still be on its way, or be followed by what its answer asks for.
      const asksNoMore = () => until(async () => (await asksWithin(60_000)) === 0);
      await asksNoMore();

      await toggle.click();
      await turnHidden(true);
      await asksNoMore();
      const news = page.waitForRequest(/_rsc=/);
      await turnHidden(false);
      await news;
    });

    test('the forms work without JavaScript', async () => {
      const plain = await Visitor.at(browser, server.origin, { javaScriptEnabled: false });
      const form = await plain.submit('Send an email', { To: 'ada' });
      await form.getByText('Enter an address such as').waitFor();
      const id = await plain.add('Send an email', { To: 'ada@example.com' });
      await plain.sees(id, 'pending');
      await plain.job(id).getByRole('button', { name: 'Cancel' }).click();
      await plain.sees(id, 'cancelled');
      await plain.leave();
    });

    test('what is no job has a page that says so', async () => {
      for (const id of ['999', 'abc', '99999999999999999999']) {
        expect((await fetch(`${server.origin}/jobs/${id}`)).status).toBe(404);
      }
    });

    test('only development offers to process by hand', async () => {
      expect(await visitor.page.getByRole('button', { name: 'Process now' }).count()).toBe(0);
    });

    test('cron also reclaims what is stuck, and cleans up what is old', async () => {
      await database.query(
        `insert into job_queue (job_type, payload, status, locked_at, updated_at) values
        ('send_email', '{}', 'processing', now() - interval '1 hour', now()),
        ('send_email', '{}', 'completed', null, now() - interval '31 days'),
        ('send_email', '{}', 'completed', null, now() - interval '29 days')`,
      );
      expect(await call(server.origin, 'reclaim')).toMatchObject({ status: 200, reclaimed: 1 });
      expect(await call(server.origin, 'cleanup')).toMatchObject({ status: 200, deleted: 1 });
      await visitor.seesCount('pending', 1);
      await visitor.seesCount('completed', 1);
    });

    test('one route does what the three others do', async () => {
      await database.query(
        `insert into job_queue (job_type, payload, status, locked_at, updated_at) values
        ('send_email', '{"to": "ada@example.com", "subject": "Hi", "body": "Ho"}', 'processing',
          now() - interval '1 hour', now()),
        ('send_email', '{}', 'completed', null, now() - interval '31 days')`,
      );
      const refused = await call(server.origin, 'jobs', { authorization: 'Bearer wrong' });
      expect(refused).toEqual({ status: 401, error: 'UNAUTHORIZED' });
      expect(await call(server.origin, 'jobs')).toMatchObject({
        status: 200,
        reclaimed: 1,
        processed: 1,
        completed: 1,
        deleted: 1,
        left: 0,
      });
    });

    test('cron calls without the secret are refused', async () => {
      await visitor.add('Send an email', { To: 'ada@example.com' });
      for (const path of ['process', 'reclaim', 'cleanup']) {
        for (const authorization of ['', 'Bearer wrong', secret, `bearer ${secret}`, 'Bearer ']) {
          const answer = await call(server.origin, path, { authorization });
          expect(answer).toEqual({ status: 401, message: 'Unauthorized' });
        }
      }
      await visitor.seesCount('pending', 1);
    });

    test('without a secret in the environment every cron call is refused', async () => {
      await using open = await example.start({ ...environment(), CRON_SECRET: undefined });
      for (const authorization of ['', 'Bearer ', 'Bearer', 'Bearer undefined', 'undefined']) {
        const answer = await call(open.origin, 'process', { authorization });
        expect(answer).toEqual({ status: 401, message: 'Unauthorized' });
      }
    });

    test('a database that is not there is told without its address', async () => {
      const url = 'postgres://me:pass-word@127.0.0.1:1/nowhere';
      await using lost = await example.start({ ...environment(), PG_BG_JOB_QUEUE_DATABASE: url });
      const answer = await fetch(lost.origin);
      const page = await answer.text();
      expect(page).toContain('The queue cannot be reached');
      expect(page).not.toMatch(/127\.0\.0\.1:1|nowhere|pass-word/);
      expect(await call(lost.origin, 'process')).toMatchObject({ status: 500 });
      expect(lost.script.stdout + lost.script.stderr).not.toContain('pass-word');
    });
  });

  describe('as a standalone folder, copied elsewhere', () => {
    let folder: string;
    const away = () => `${example.folder}-away`;
    useServer(async () => {
      await example.configure(withJobQueue({ output: 'standalone' }));
      await example.build();
      folder = await mkdtemp(join(tmpdir(), 'nextjs-standalone-'));
      await cp(join(example.folder, '.next/standalone'), folder, {
        recursive: true,
        verbatimSymlinks: true,
      });
      const built = join(example.folder, '.next/static');
      await cp(built, join(folder, '.next/static'), { recursive: true });
      // What it does not have with it, it must not find.
      await rename(example.folder, away());
      return await startStandalone(folder, environment());
    });
    afterAll(async () => {
      await rename(away(), example.folder);
      await rm(folder, { recursive: true, force: true });
    });
    theJourneyOfAJob('standalone');
  });

  test('`npm run dev` migrates, starts, and has jobs processed; Ctrl-C ends it all', async () => {
    await using empty = await createDatabase({ migrated: false });
    await example.configure(withJobQueue());
    await using dev = await example.dev({
      PG_BG_JOB_QUEUE_DATABASE: empty.url,
      CRON_SECRET: undefined,
    });
    const visitor = await Visitor.at(browser, dev.origin);
    const id = await visitor.add('Send an email', { To: 'ada@example.com' });
    await visitor.sees(id, 'completed');
    await visitor.page.getByRole('button', { name: 'Process now' }).click();
    await visitor.page.getByText('Ran 0 jobs.').waitFor();
    // With the button that only development has, too, a phone's header is one row.
    await visitor.open('/');
    await visitor.page.setViewportSize({ width: 360, height: 740 });
    expect((await visitor.page.getByRole('banner').boundingBox())?.height).toBeLessThan(64);
    await visitor.leave();
    expect(visitor.complaints).toEqual([]);

    dev.script.kill('SIGINT');
    expect(await dev.script.exited).toMatchObject({ code: 0, signal: null });
    await expect(fetch(dev.origin)).rejects.toThrow();
  }, 600_000);
});
