import { describe, expect, onTestFinished, test } from 'vitest';
import { currentJob } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { withOneConnection } from './helpers/modes.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

/** Longer than any test may take: what happens within it was not found by polling. */
const NEVER = 60_000;

describe('a processor in the background', () => {
  test('keeps up to `concurrency` jobs running and fills each slot as it frees', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(20);
    const slow = deferred();
    const others = new Journal();
    let inside = 0;
    let most = 0;
    const job = async (n: number) => {
      most = Math.max(most, ++inside);
      if (n === 1) await slow.promise;
      else await new Promise(setImmediate);
      inside--;
      others.note(n);
    };
    const processor = queue.createProcessor({ job }, { concurrency: 3, pollInterval: NEVER });

    processor.startInBackground();
    await others.reaches(19);
    expect(others.notes).not.toContain(1);
    slow.resolve();
    await processor.stopAndDrain();

    expect(most).toBe(3);
    expect(await jobs.statuses()).toEqual({ completed: 20 });
  });

  test('drains a backlog without waiting for its interval', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(500);
    const done = new Journal();
    const job = async (n: unknown) => done.note(n);
    const processor = queue.createProcessor({ job }, { batchSize: 7, pollInterval: NEVER });

    processor.startInBackground();
    await done.reaches(500);
    await processor.stopAndDrain();

    expect(new Set(done.notes).size).toBe(500);
    expect(await jobs.statuses()).toEqual({ completed: 500 });
  });

  test('runs many at a time where it is allowed to, whatever the batch size', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(60);
    const running = new Journal();
    const all = deferred();
    const job = async () => {
      running.note(currentJob().id);
      await all.promise;
    };
    const options = { batchSize: 1, concurrency: 50, pollInterval: NEVER };
    const processor = queue.createProcessor({ job }, options);

    processor.startInBackground();
    await running.reaches(50);
    expect((await jobs.statuses()).processing).toBe(50);
    all.resolve();
    await running.reaches(60);
    await processor.stopAndDrain();
  });

  test('started twice is started once', async () => {
    const queue = await jobs.openQueue();
    await jobs.insert(6);
    const running = new Journal();
    const all = deferred();
    const job = async () => {
      running.note(1);
      await all.promise;
    };
    const processor = queue.createProcessor({ job }, { concurrency: 2, pollInterval: 20 });

    processor.startInBackground();
    processor.startInBackground();
    await running.reaches(2);
    // Another engine would have had the time to take two more.
    await jobs.insert(1, { job_type: "'other'" });
    await queue.createProcessor({ other: async () => {} }, { jobType: 'other' }).start();
    expect(running.notes).toHaveLength(2);
    all.resolve();
    await running.reaches(6);
    await processor.stopAndDrain();
    expect(processor.isRunning()).toBe(false);
  });

  test('takes up a failed job when it is due again', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1);
    const attempts = new Journal<number>();
    const job = async () => {
      attempts.note(currentJob().attempts);
      if (attempts.notes.length === 1) throw new Error('at first');
    };
    const processor = queue.createProcessor({ job }, { pollInterval: 20 });
    processor.startInBackground();

    await jobs.untilStatus(id, 'failed');
    await jobs.update('next_attempt_at = now()', id);
    await jobs.untilStatus(id, 'completed');
    await processor.stopAndDrain();

    expect(attempts.notes).toEqual([1, 2]);
  });
});

describe('an idle processor', () => {
  test('picks up at once what is added in its process', async () => {
    const queue = await jobs.openQueue();
    const done = new Journal();
    const job = async (n: unknown) => done.note(n);
    const processor = queue.createProcessor({ job }, { pollInterval: NEVER });
    processor.startInBackground();

    for (let n = 1; n <= 100; n++) {
      await queue.addJob({ job_type: 'job', payload: n });
      await done.reaches(n);
    }
    expect(done.notes).toEqual(Array.from({ length: 100 }, (_, at) => at + 1));
    await processor.stopAndDrain();
  }, 10_000);

  test('picks up at once what is retried in its process', async () => {
    const queue = await jobs.openQueue();
    const [id = 0] = await jobs.insert(1, { status: "'cancelled'" });
    const { handler, started, release } = heldHandler();
    const processor = queue.createProcessor({ job: handler }, { pollInterval: NEVER });
    processor.startInBackground();
    await queue.retryJob(id);
    expect(await started).toMatchObject({ id });
    release();
    await processor.stopAndDrain();
  }, 10_000);

  const busy = withOneConnection('the statement that is held up has it');
  test.skipIf(busy)(
    'overlooks nothing that is added while it looks',
    async () => {
      const queue = await jobs.openQueue();
      const [first = 0] = await jobs.insert(1);
      const done = new Journal();
      const { handler: held, started, release } = heldHandler();
      const job = async (payload: unknown) => {
        if (payload !== 'second') await held();
        done.note(payload);
      };
      const processor = queue.createProcessor({ job }, { pollInterval: NEVER, concurrency: 2 });
      processor.startInBackground();
      await started;

      // The statement that settles the first job, and looks for more, has begun but cannot end.
      await jobs.database.query(`
        create function wait() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
        create trigger wait before update on job_queue for each row when (old.id = ${first})
        execute function wait()`);
      onTestFinished(() => jobs.database.query('drop function wait() cascade').then(() => {}));
      const client = await jobs.database.pool.connect();
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock(1)');
      release();
      await until(() =>
        jobs.database.query('select from pg_locks where not granted').then((rows) => rows.length),
      );
      await queue.addJob({ job_type: 'job', payload: 'second' });
      await client.query('rollback');
      client.release();

      await done.reaches(2);
      await processor.stopAndDrain();
    },
    10_000,
  );

  test('finds within its interval what another program adds', async () => {
    const queue = await jobs.openQueue();
    const done = new Journal();
    const job = async (n: unknown) => done.note(n);
    const processor = queue.createProcessor({ job }, { pollInterval: 50 });
    processor.startInBackground();
    for (let n = 1; n <= 3; n++) {
      const addedAt = performance.now();
      await jobs.insert(1);
      await done.reaches(n);
      expect(performance.now() - addedAt).toBeLessThan(2_000);
    }
    await processor.stopAndDrain();
  });

  test('writes nothing', async () => {
    const databaseConfig = { application_name: 'idle' };
    const queue = await jobs.openQueue({ databaseConfig });
    await jobs.insert(10, { status: "'completed'" });
    await jobs.insert(10, { run_at: "now() + interval '1 day'" });
    await jobs.insert(1, {
      status: "'processing'",
      locked_at: 'now()',
      lease_expires_at: "now() + interval '1 hour'",
    });
    const versions = () =>
      jobs.database.query('select id, ctid, xmin, xmax from job_queue order by id');
    const before = await versions();

    const processor = queue.createProcessor({}, { pollInterval: 10 });
    processor.startInBackground();
    await jobs.statements('idle', 20);
    await processor.stopAndDrain();

    expect(await versions()).toEqual(before);
  });
});
