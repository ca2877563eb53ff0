/** Jobs that are added only once: `idempotency_key`, how long it is held, and what happens to a second job. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { currentJob, type IdempotencyHold, type JobOptions, type OnConflict } from '../index.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { rejection } from './helpers/queue.js';
import { until } from './helpers/until.js';

const jobs = useJobs();

type Options = Partial<JobOptions<{ job: unknown }>>;

const keyed = (options: Options = {}) =>
  ({ job_type: 'job', payload: 1, idempotency_key: 'key', ...options }) as JobOptions<{
    job: unknown;
  }> & { idempotency_key: string };

const later = (ms = 60_000) => new Date(Date.now() + ms);

const count = async () => (await jobs.rows()).length;

/** A client with an open transaction, which is rolled back when the test is over. */
async function openTransaction(level = 'read committed') {
  const client = await jobs.database.pool.connect();
  await client.query(`begin isolation level ${level}`);
  onTestFinished(async () => {
    await client.query('rollback');
    client.release();
  });
  return client;
}

/** Resolves once a session waits for another's transaction. */
const untilBlocked = () =>
  until(async () => {
    const blocked = await jobs.database.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return blocked.length > 0;
  });

describe('a key that another job holds', () => {
  test('gives the id of the other, and adds none', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    expect(await queue.addJob(keyed({ payload: 2, priority: 7 }))).toBe(id);
    expect(await queue.upsertJob(keyed())).toEqual({ id, outcome: 'kept', status: 'pending' });
    const { pool } = jobs.database;
    expect(await queue.addJob(keyed(), { db: pool })).toBe(id);
    expect(await queue.addJob(pool, keyed())).toBe(id);
    expect(
      await jobs.database.query(`select add_job('job', '1', idempotency_key => 'key')`),
    ).toEqual([{ add_job: String(id) }]);
    expect(await jobs.rows()).toMatchObject([{ payload: 1, priority: 0, idempotency_key: 'key' }]);
  });

  test('is one of its type: another type is another key', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    expect(await queue.addJob({ ...keyed(), job_type: 'other' })).not.toBe(id);
    expect(await queue.addJob({ ...keyed(), idempotency_key: 'KEY' })).not.toBe(id);
    expect(await queue.addJob({ ...keyed(), idempotency_key: null })).not.toBe(id);
    expect(await queue.addJob({ ...keyed(), idempotency_key: null })).not.toBe(id);
    expect(await count()).toBe(5);
  });

  test.each([
    ['of 255 characters of four bytes', '😀'.repeat(255)],
    ['with quotes, commas, braces and backslashes', `a'b"c,d{e}f\\g$1--;`],
    ['that looks like null', 'NULL'],
    ['of one space', ' '],
  ])('is found again %s', async (_, key) => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_key: key });
    const id = await queue.addJob(job);
    expect(await queue.addJob(job)).toBe(id);
    expect(await queue.addJobs([job, { ...job, idempotency_hold: 1_000 }])).toEqual([id, id]);
    expect(await queue.getJob(id)).toMatchObject({ idempotency_key: key, idempotency_hold: null });
  });

  test('uses up no id', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    for (let n = 0; n < 5; n++) {
      await queue.addJob(keyed());
      await queue.addJobs([keyed(), keyed()]);
    }
    expect(await queue.addJob(keyed({ idempotency_key: 'next' }))).toBe(id + 1);
  });
});

describe('many jobs at once', () => {
  test('ids come in the order of the jobs, each for its own, and a key twice is one job', async () => {
    const queue = await jobs.openQueue();
    const held = await queue.addJob(keyed({ idempotency_key: 'held' }));
    const of = (key: string | null, payload: unknown) => keyed({ idempotency_key: key, payload });
    for (const db of [undefined, jobs.database.pool]) {
      await jobs.database.query(`delete from job_queue where id <> ${held}`);
      const ids = await queue.addJobs(
        [of('z', 1), of('held', 2), of('a', 3), of(null, 4), of('z', 5), of('a', 6), of('m', 7)],
        { db },
      );
      const [z = 0, second, a = 0, plain = 0, z2, a2, m = 0] = ids;
      expect([second, z2, a2]).toEqual([held, z, a]);
      // Jobs of the same time run in the order of their ids.
      expect(z < a && a < plain && plain < m).toBe(true);
      const payloads = (await jobs.rows()).map(({ payload }) => payload);
      expect(payloads).toEqual([1, 1, 3, 4, 7]);
    }
  });

  test('thousands, some of them with keys, are added in parts, all or none', async () => {
    const queue = await jobs.openQueue();
    const all = Array.from({ length: 4_500 }, (_, n) =>
      keyed({ payload: n, idempotency_key: n < 2_000 ? null : `key ${n % 2_000}` }),
    );
    const ids = await queue.addJobs(all);
    expect(new Set(ids).size).toBe(4_000);
    const rows = new Map((await jobs.rows()).map(({ id, payload }) => [id, payload]));
    expect(rows.size).toBe(4_000);
    for (const [n, id] of ids.entries()) expect(rows.get(id)).toBe(n < 4_000 ? n : n - 2_000);
    await rejection(queue.addJobs([...all, keyed({ idempotency_key: '' })]), 'INVALID_ARGUMENT');
    expect(await count()).toBe(4_000);
  });

  test('a thousand callers with the same keys, of two processes, add each once', async () => {
    const queues = await Promise.all([jobs.openQueue(), jobs.openQueue()]);
    const adding = Array.from({ length: 1_000 }, (_, n) => {
      const key = `key ${(n * 7919) % 100}`;
      const hold = n % 100 < 50 ? undefined : 60_000;
      return queues[n % 2]?.addJob(
        keyed({ idempotency_key: `${key} ${hold}`, idempotency_hold: hold, payload: key }),
      );
    });
    const ids = await Promise.all(adding);
    const rows = await jobs.rows();
    expect(rows).toHaveLength(new Set(ids).size);
    expect(new Set(rows.map((row) => row.idempotency_key)).size).toBe(rows.length);
  });

  test('batches of two processes in opposite orders do not wait for each other', async () => {
    const [one, other] = await Promise.all([jobs.openQueue(), jobs.openQueue()]);
    const list = Array.from({ length: 300 }, (_, n) => keyed({ idempotency_key: `key ${n}` }));
    const reversed = list.toReversed();
    const before = await deadlocks();
    for (let n = 0; n < 10; n++) {
      const [ids, others] = await Promise.all([one?.addJobs(list), other?.addJobs(reversed)]);
      expect(others?.toReversed()).toEqual(ids);
      await jobs.database.query(`update job_queue set status = 'completed'`);
    }
    expect(await deadlocks()).toBe(before);
  });
});

async function deadlocks(): Promise<unknown> {
  const [row] = await jobs.database.query(
    'select deadlocks from pg_stat_database where datname = current_database()',
  );
  return row?.deadlocks;
}

describe('a key that an open transaction has added', () => {
  test.each<[string, IdempotencyHold | undefined]>([
    ['', undefined],
    ['for some time', 60_000],
  ])('%s is waited for, and held if it commits', async (_, hold) => {
    const queue = await jobs.openQueue();
    const client = await openTransaction();
    const job = keyed({ idempotency_hold: hold });
    const id = await queue.addJob(job, { db: client });
    const adding = queue.upsertJob(job);
    const together = queue.addJobs([job, keyed({ idempotency_key: 'other' })]);
    await untilBlocked();
    await client.query('commit');
    expect(await adding).toEqual({ id, outcome: 'kept', status: 'pending' });
    expect((await together)[0]).toBe(id);
  });

  test.each<[string, IdempotencyHold | undefined]>([
    ['', undefined],
    ['for some time', 60_000],
  ])('%s is free if it rolls back', async (_, hold) => {
    const queue = await jobs.openQueue();
    const client = await openTransaction();
    const job = keyed({ idempotency_hold: hold });
    const id = await queue.addJob(job, { db: client });
    const adding = queue.upsertJob(job);
    await untilBlocked();
    await client.query('rollback');
    const added = await adding;
    expect(added).toMatchObject({ outcome: 'added', status: 'pending' });
    expect(added.id).not.toBe(id);
    expect(await count()).toBe(1);
  });

  test('keeps none but its own waiting', async () => {
    const queue = await jobs.openQueue();
    if (jobs.database.config.max === 1) return;
    const client = await openTransaction();
    await queue.addJob(keyed(), { db: client });
    const blocked = [queue.addJob(keyed()), queue.addJob(keyed())];
    const others = [
      ...Array.from({ length: 20 }, (_, n) =>
        queue.addJob(keyed({ idempotency_key: `other ${n}` })),
      ),
      queue.addJob({ job_type: 'job', payload: 0 }),
    ];
    expect(new Set(await Promise.all(others)).size).toBe(21);
    await client.query('commit');
    expect(new Set(await Promise.all(blocked)).size).toBe(1);
  });
});

describe('the only connection', () => {
  test('is not kept by calls that wait for a key: what they wait for may need it', async () => {
    const queue = await jobs.openQueue({ databaseConfig: { max: 1 } });
    const client = await openTransaction();
    await queue.addJob(keyed(), { db: client });
    await queue.addJob(keyed({ idempotency_key: 'other' }), { db: client });
    const blocked = [
      queue.addJob(keyed()),
      queue.addJob(keyed({ idempotency_key: 'other' })),
      queue.addJobs([keyed(), keyed({ idempotency_key: 'third' })]),
      queue.addJobs(Array.from({ length: 1_001 }, () => keyed())),
    ];
    await untilBlocked();
    const ran = new Journal();
    const processor = queue.createProcessor(
      { unkeyed: async (payload) => ran.note(payload) },
      { pollInterval: 20 },
    );
    processor.startInBackground();
    for (let n = 1; n <= 3; n++) {
      const id = await queue.addJob({ job_type: 'unkeyed', payload: n });
      await ran.reaches(n);
      await jobs.untilStatus(id, 'completed');
    }
    await client.query('commit');
    await Promise.all(blocked);
    await processor.stopAndDrain();
    expect(await jobs.rows(`job_type = 'job'`)).toHaveLength(3);
  }, 60_000);
});

describe.each(['repeatable read', 'serializable'])('in a transaction that is %s', (level) => {
  test.each<[string, Options]>([
    ['', {}],
    ['for some time', { idempotency_hold: 60_000 }],
  ])('a key that was held %s when it looked first is not taken for held', async (_, options) => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed(options));
    for (const onConflict of ['keep', 'reject'] as const) {
      const client = await openTransaction(level);
      await client.query('select count(*) from job_queue');
      if (onConflict === 'keep') await queue.cancelJob(id);
      else await queue.retryJob(id);
      const adding = queue.addJob(keyed(options), { onConflict, db: client });
      expect(await rejection(adding, 'DATABASE_ERROR')).toMatchObject({ sqlState: '40001' });
    }
  });
});

describe('a key is held', () => {
  const isHeld = async (hold?: IdempotencyHold | null) => {
    const queue = await jobs.openQueue();
    const client = await openTransaction();
    const { outcome } = await queue.upsertJob(keyed({ idempotency_hold: hold }), { db: client });
    await client.query('rollback');
    return outcome === 'kept';
  };

  test('while the job is pending, runs, and is tried again', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ max_attempts: 2 }));
    const held = heldHandler();
    const onError = () => {};
    const options = { onError, onJobFailed: onError, retry: { delay: 0 } };
    const running = queue.createProcessor({ job: held.handler }, options).start();
    await held.started;
    expect(await isHeld()).toBe(true);
    held.fail(new Error('no'));
    await running;
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 1 });
    expect(await isHeld()).toBe(true);
    await queue.createProcessor({ job: () => Promise.reject(new Error('no')) }, options).start();
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 2 });
    expect(await isHeld()).toBe(false);
  });

  test.each(['completed', 'cancelled', 'removed'])('until it is %s', async (end) => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    if (end === 'cancelled') await queue.cancelJob(id);
    else
      await queue
        .createProcessor({ job: async () => {} }, { removeOnComplete: end === 'removed' })
        .start();
    expect(await isHeld()).toBe(false);
    expect(await isHeld('row')).toBe(false);
  });

  test("as long as there is a row: 'row'", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ idempotency_hold: 'row' }));
    await queue.createProcessor({ job: async () => {} }).start();
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed', idempotency_hold: 'row' });
    expect(await isHeld()).toBe(true);
    expect(await isHeld(1_000)).toBe(true);
    await queue.cleanupOldJobs(0);
    expect(await isHeld()).toBe(false);
  });

  test("until a worker first claims it: 'queued'", async () => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_hold: 'queued' });
    const id = await queue.addJob(job);
    expect(await queue.addJob(job)).toBe(id);
    const held = heldHandler();
    const running = queue.createProcessor({ job: held.handler }, { batchSize: 1 }).start();
    await held.started;
    const next = await queue.addJob(job);
    expect(next).not.toBe(id);
    held.release();
    expect(await running).toBe(1);
    expect(await queue.addJob(job)).toBe(next);
  });

  test.each([
    ['takes the key again', false, 'queued'],
    ['comes back without its key, if that is taken', true, 'released'],
  ])("'queued': a job that is handed back before it began %s", async (_, taken, hold) => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_hold: 'queued' });
    const id = await queue.addJob({ ...job, job_type: 'unknown' });
    const errors = new Journal<string>();
    const processor = queue.createProcessor(
      { job: async () => {} },
      { onError: ({ code }) => errors.note(code) },
    );
    if (taken) {
      // Between the claim and the hand-back.
      await jobs.database.query(`
        create function take() returns trigger language plpgsql as $$
        begin
          insert into job_queue (job_type, payload, idempotency_key, idempotency_hold)
          values ('unknown', '2', 'key', 'queued');
          return null;
        end $$;
        create trigger take after update on job_queue for each row
        when (old.id = ${id} and new.status = 'processing') execute function take()`);
      onTestFinished(async () => {
        await jobs.database.query('drop trigger take on job_queue; drop function take()');
      });
    }
    await processor.start();
    expect(await jobs.row(id)).toMatchObject({
      status: 'pending',
      attempts: 0,
      idempotency_hold: hold,
    });
    expect(errors.notes).toEqual(['NO_HANDLER']);
    if (!taken) expect(await queue.addJob({ ...job, job_type: 'unknown' })).toBe(id);
  });

  test("'queued': a lost worker's job comes back, though its key is taken", async () => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_hold: 'queued', max_attempts: 1 });
    const id = await queue.addJob(job);
    // Its last attempt is not counted before its handler begins.
    await jobs.update(
      `status = 'processing', claim_token = -1, run_no = 1, locked_at = now(), lease_expires_at = now() + interval '1 hour'`,
      id,
    );
    expect(await queue.addJob({ ...job, run_at: later() })).not.toBe(id);
    await jobs.endLeases(id);
    const ran = new Journal<number>();
    const told = new Journal();
    const processor = queue.createProcessor(
      { job: async () => ran.note(currentJob().id) },
      { pollInterval: 20, onError: (error) => told.note(error) },
    );
    processor.startInBackground();
    await ran.reaches(1);
    await processor.stopAndDrain();
    expect(ran.notes).toEqual([id]);
    expect(told.notes).toEqual([]);
    expect(await jobs.row(id)).toMatchObject({ idempotency_hold: 'released' });
  });

  test('for some time, whatever becomes of the job and its row', async () => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_hold: 60_000 });
    const id = await queue.addJob(job);
    await queue.createProcessor({ job: async () => {} }, { removeOnComplete: true }).start();
    expect(await count()).toBe(0);
    expect(await queue.upsertJob(job)).toEqual({ id, outcome: 'kept', status: null });
    // Also for a job that would hold it in another way.
    expect(await queue.upsertJob(keyed())).toEqual({ id, outcome: 'kept', status: null });
    expect(await queue.addJobs([job, keyed()])).toEqual([id, id]);
    await jobs.database.query(`update job_queue_windows set held_until = now()`);
    const next = await queue.upsertJob(job);
    expect(next.outcome).toBe('added');
    expect(next.id).not.toBe(id);
    expect(await queue.addJob(job)).toBe(next.id);
  });

  test('for some time, and not longer, while the job still runs', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ idempotency_hold: 60_000 }));
    const held = heldHandler();
    const running = queue.createProcessor({ job: held.handler }).start();
    await held.started;
    expect(await queue.addJob(keyed())).toBe(id);
    await jobs.database.query(`update job_queue_windows set held_until = now()`);
    expect(await queue.addJob(keyed())).not.toBe(id);
    held.release();
    await running;
  });

  test('for some time by one job, though another that holds it otherwise is there', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    expect(await queue.addJob(keyed({ idempotency_hold: 60_000 }))).toBe(id);
    expect(await queue.addJobs([keyed({ idempotency_hold: 60_000 })])).toEqual([id]);
    expect(await jobs.database.query('select from job_queue_windows')).toEqual([]);
  });

  test('for some time, and what has ended is deleted by and by', async () => {
    const queue = await jobs.openQueue();
    const of = (n: number) => keyed({ idempotency_key: `key ${n}`, idempotency_hold: 60_000 });
    await queue.addJobs(Array.from({ length: 100 }, (_, n) => of(n)));
    await jobs.database.query(`update job_queue_windows set held_until = now()`);
    for (let n = 0; n < 30; n++) await queue.addJob(of(n + 50));
    expect(await jobs.database.query('select from job_queue_windows')).toHaveLength(30);
    expect(await count()).toBe(130);
  });
});

describe('onConflict', () => {
  test("'replace' gives a pending job the new payload and options", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ run_at: later(), idempotency_hold: 'queued' }));
    const run_at = later(5_000);
    const replaced = await queue.upsertJob(
      keyed({ payload: null, priority: 5, run_at, max_attempts: 7, retry_delay_ms: 10 }),
      { onConflict: 'replace' },
    );
    expect(replaced).toEqual({ id, outcome: 'replaced', status: 'pending' });
    expect(await queue.getJob(id)).toMatchObject({
      payload: null,
      priority: 5,
      run_at,
      max_attempts: 7,
      retry_delay_ms: 10,
      idempotency_hold: 'queued',
    });
  });

  test.each<[string, Options]>([
    ['that waits for its next attempt', {}],
    [
      'without attempts left, whose row holds the key',
      { idempotency_hold: 'row', max_attempts: 1 },
    ],
    ['without attempts left, within its time', { idempotency_hold: 60_000, max_attempts: 1 }],
  ])("'replace' makes a failed job %s pending again", async (_, options) => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed(options));
    const processor = queue.createProcessor(
      { job: () => Promise.reject(new Error('no')) },
      { onJobFailed: () => {}, onError: () => {} },
    );
    await processor.start();
    expect(await jobs.row(id)).toMatchObject({ status: 'failed', attempts: 1 });
    expect(
      await queue.upsertJob(keyed({ ...options, payload: 2 }), { onConflict: 'replace' }),
    ).toMatchObject({ id, outcome: 'replaced' });
    expect(await jobs.row(id)).toMatchObject({
      status: 'pending',
      attempts: 0,
      payload: 2,
      failure_reason: null,
      next_attempt_at: null,
    });
    expect(await queue.createProcessor({ job: async () => {} }).start()).toBe(1);
  });

  test.each<OnConflict>(['replace', 'postpone'])(
    "'%s' keeps a job that runs",
    async (onConflict) => {
      const queue = await jobs.openQueue();
      const id = await queue.addJob(keyed());
      const held = heldHandler();
      const running = queue.createProcessor({ job: held.handler }).start();
      await held.started;
      const given = keyed({ payload: 2, run_at: later() });
      expect(await queue.upsertJob(given, { onConflict })).toEqual({
        id,
        outcome: 'kept',
        status: 'processing',
      });
      held.release();
      await running;
      expect(await jobs.row(id)).toMatchObject({ payload: 1, status: 'completed' });
    },
  );

  test.each<OnConflict>(['replace', 'postpone'])(
    "'%s' keeps a job that has been completed, and holds its key",
    async (onConflict) => {
      const queue = await jobs.openQueue();
      const id = await queue.addJob(keyed({ idempotency_hold: 'row' }));
      await queue.createProcessor({ job: async () => {} }).start();
      expect(await queue.upsertJob(keyed({ payload: 2 }), { onConflict })).toEqual({
        id,
        outcome: 'kept',
        status: 'completed',
      });
      expect(await jobs.row(id)).toMatchObject({ payload: 1, status: 'completed' });
    },
  );

  test("'replace' and a claim: the job runs with one of the payloads, or both have run", async () => {
    const queue = await jobs.openQueue();
    const ran: unknown[] = [];
    const processor = queue.createProcessor(
      { job: async (payload: unknown) => void ran.push(payload) },
      { pollInterval: 20 },
    );
    processor.startInBackground();
    for (let n = 0; n < 200; n++) {
      const [, second] = await Promise.all([
        queue.addJob(keyed({ payload: [n, 1] })),
        queue.upsertJob(keyed({ payload: [n, 2] }), { onConflict: 'replace' }),
      ]);
      if (second.status === 'pending') await jobs.untilStatus(second.id, 'completed');
      const last = ran.at(-1) as number[];
      // What was replaced does not run; what was not is told as kept.
      if (second.outcome === 'replaced') expect(last).toEqual([n, 2]);
      await until(async () => (await jobs.rows(`status <> 'completed'`)).length === 0);
    }
    await processor.stopAndDrain();
  });

  test("'postpone' moves only the time", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    const run_at = later();
    expect(
      await queue.upsertJob(keyed({ payload: 2, priority: 3, run_at }), { onConflict: 'postpone' }),
    ).toEqual({ id, outcome: 'postponed', status: 'pending' });
    expect(await queue.getJob(id)).toMatchObject({ payload: 1, priority: 0, run_at });
  });

  test.each<OnConflict>(['replace', 'postpone'])(
    "'%s' moves the time up to maxWait, so that the job runs in the end",
    async (onConflict) => {
      const queue = await jobs.openQueue();
      const id = await queue.addJob(keyed({ run_at: later(1_000) }));
      const created = (await queue.getJob(id))?.created_at.getTime() ?? 0;
      await queue.upsertJob(keyed({ run_at: new Date(created + 5_000) }), {
        onConflict,
        maxWait: 10_000,
      });
      expect((await queue.getJob(id))?.run_at?.getTime()).toBe(created + 5_000);
      for (let n = 0; n < 2; n++) {
        await queue.upsertJob(keyed({ run_at: later() }), { onConflict, maxWait: 10_000 });
        expect((await queue.getJob(id))?.run_at?.getTime()).toBe(created + 10_000);
      }
    },
  );

  test("'supersede' cancels a pending job, and adds the new one, which holds the key", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ run_at: later() }));
    const next = await queue.upsertJob(keyed({ payload: 2 }), { onConflict: 'supersede' });
    expect(next).toMatchObject({ outcome: 'superseded', status: 'pending' });
    expect(await queue.getJob(id)).toMatchObject({
      status: 'cancelled',
      idempotency_hold: 'released',
    });
    expect(await queue.addJob(keyed())).toBe(next.id);
  });

  test("'supersede' has a running job cancelled, in whichever process, and adds the new one", async () => {
    const [queue, other] = await Promise.all([jobs.openQueue(), jobs.openQueue()]);
    const id = await queue.addJob(keyed());
    const aborted = new Journal<unknown>();
    const held = heldHandler();
    const processor = queue.createProcessor(
      {
        job: () => {
          const { signal } = currentJob();
          signal.addEventListener('abort', () => {
            aborted.note(signal.reason.code);
            held.release();
          });
          return held.handler();
        },
      },
      { leaseDuration: 2_000, batchSize: 1 },
    );
    const running = processor.start();
    await held.started;
    const next = await other.upsertJob(keyed(), { onConflict: 'supersede' });
    expect(next).toMatchObject({ outcome: 'superseded' });
    expect(await other.addJob(keyed())).toBe(next.id);
    await aborted.reaches(1);
    expect(aborted.notes).toEqual(['CANCELLED']);
    await running;
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
  });

  test("'supersede' waits for an open completeIn, which wins", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    const client = await openTransaction();
    const held = heldHandler();
    const processor = queue.createProcessor({
      job: async () => {
        await currentJob().completeIn(client);
        await held.handler();
      },
    });
    const running = processor.start();
    await held.started;
    const superseding = queue.upsertJob(keyed(), { onConflict: 'supersede' });
    await untilBlocked();
    await client.query('commit');
    expect(await superseding).toMatchObject({ outcome: 'added' });
    held.release();
    await running;
    expect(await jobs.row(id)).toMatchObject({ status: 'completed' });
  });

  test("'supersede' takes over a key that is held for some time, though the row is gone", async () => {
    const queue = await jobs.openQueue();
    const job = keyed({ idempotency_hold: 60_000 });
    const id = await queue.addJob(job);
    await queue.createProcessor({ job: async () => {} }, { removeOnComplete: true }).start();
    const next = await queue.upsertJob(job, { onConflict: 'supersede' });
    expect(next.outcome).toBe('superseded');
    expect(next.id).not.toBe(id);
    expect(await queue.addJob(job)).toBe(next.id);
  });

  test("'supersede' by many at once leaves one job", async () => {
    const queue = await jobs.openQueue();
    const adding = Array.from({ length: 100 }, (_, n) =>
      queue.upsertJob(keyed({ payload: n }), { onConflict: 'supersede' }),
    );
    await Promise.all(adding);
    expect(await jobs.statuses()).toEqual({ pending: 1, cancelled: 99 });
  });

  test("'reject' rejects with the id of the holder, and leaves a transaction usable", async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    for (const call of [queue.addJob, queue.upsertJob]) {
      const error = await rejection(call(keyed(), { onConflict: 'reject' }), 'DUPLICATE_JOB');
      expect(error).toMatchObject({ jobId: id });
    }
    const client = await openTransaction();
    await rejection(queue.addJob(keyed(), { onConflict: 'reject', db: client }), 'DUPLICATE_JOB');
    await client.query('select 1');
    await rejection(
      queue.addJob(keyed({ idempotency_hold: 5_000 }), { onConflict: 'reject' }),
      'DUPLICATE_JOB',
    );
  });
});

describe('retryJob', () => {
  test('rejects, and changes nothing, if another job holds the key', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    await queue.cancelJob(id);
    const next = await queue.addJob(keyed());
    const error = await rejection(queue.retryJob(id), 'DUPLICATE_JOB', /job \d+ holds the key/);
    expect(error).toMatchObject({ jobId: next });
    await rejection(queue.retryJob(jobs.database.pool, id), 'DUPLICATE_JOB');
    expect(await jobs.row(id)).toMatchObject({ status: 'cancelled' });
    await queue.cancelJob(next);
    await queue.retryJob(id);
    expect(await queue.addJob(keyed())).toBe(id);
  });

  test('needs no key that is held for some time, or was released', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ run_at: later() }));
    const next = await queue.addJob(keyed(), { onConflict: 'supersede' });
    await queue.retryJob(id);
    expect(await jobs.row(id)).toMatchObject({ status: 'pending', idempotency_hold: 'released' });
    expect(await queue.addJob(keyed())).toBe(next);
  });
});

describe('by hand', () => {
  test('an update cannot make two jobs hold one key', async () => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed());
    await queue.cancelJob(id);
    await queue.addJob(keyed());
    await expect(jobs.update(`status = 'pending'`, id)).rejects.toMatchObject({ code: '23505' });
  });

  test.each([
    [`idempotency_key => ''`, /idempotency_key must have 1 to 255/],
    [`idempotency_key => repeat('x', 256)`, /idempotency_key must have 1 to 255/],
    [`idempotency_key => 'k', idempotency_hold => 'ever'`, /idempotency_hold must be queued/],
    [`idempotency_key => 'k', idempotency_hold => '0'`, /idempotency_hold must be queued/],
    [`idempotency_key => 'k', idempotency_hold => '3155760000001'`, /idempotency_hold must be/],
    [`idempotency_key => 'k', on_conflict => 'ignore'`, /on_conflict must be keep/],
    [`idempotency_key => 'k', on_conflict => null`, /on_conflict must be keep/],
    [`on_conflict => 'replace'`, /on_conflict needs an idempotency_key/],
    [`idempotency_key => 'k', max_wait_ms => 5`, /max_wait_ms needs on_conflict/],
    [`idempotency_key => 'k', on_conflict => 'replace', max_wait_ms => -1`, /max_wait_ms must be/],
  ])('add_job refuses %s', async (given, message) => {
    const adding = jobs.database.query(`select add_job('job', '1', ${given})`);
    await expect(adding).rejects.toMatchObject({
      code: '22023',
      message: expect.stringMatching(message),
    });
  });

  test('add_job does as on_conflict says', async () => {
    const queue = await jobs.openQueue();
    const add = async (given: string) => {
      const [row] = await jobs.database.query<{ id: string }>(
        `select add_job('job', '2', idempotency_key => 'key', ${given}) as id`,
      );
      return Number(row?.id);
    };
    const id = await add(`idempotency_hold => '60000'`);
    expect(
      await add(`run_at => now() + '1 day', on_conflict => 'postpone', max_wait_ms => 0`),
    ).toBe(id);
    expect(await add(`priority => 5, on_conflict => 'replace'`)).toBe(id);
    expect(await jobs.row(id)).toMatchObject({ priority: 5, idempotency_hold: '60000' });
    await expect(add(`on_conflict => 'reject'`)).rejects.toMatchObject({
      code: '23505',
      message: `add_job: job ${id} holds the key`,
    });
    const next = await add(`on_conflict => 'supersede'`);
    expect(next).not.toBe(id);
    expect(await add(`on_conflict => 'keep'`)).toBe(next);
    await queue.cancelJob(next);
    const last = await add(`idempotency_hold => '60000'`);
    await jobs.database.query('update job_queue_windows set held_until = now()');
    const again = await add(`idempotency_hold => '60000'`);
    expect(again).not.toBe(last);
    expect(await add(`on_conflict => 'keep'`)).toBe(again);
  });
});

test.each([
  [{ idempotency_key: '' }, {}, /idempotency_key must be a string of 1 to 255 characters/],
  [{ idempotency_key: 'x'.repeat(256) }, {}, /idempotency_key must be a string of 1 to 255/],
  [{ idempotency_key: 5 }, {}, /idempotency_key must be a string/],
  [{ idempotency_key: 'a\0' }, {}, /idempotency_key holds/],
  [{ idempotency_hold: 'ever' }, {}, /idempotency_hold must be 'queued', 'unsettled', 'row', or 1/],
  [{ idempotency_hold: 0 }, {}, /idempotency_hold must be/],
  [{ idempotency_hold: 1.5 }, {}, /idempotency_hold must be/],
  [{ idempotency_hold: 3_155_760_000_001 }, {}, /idempotency_hold must be/],
  [{}, { onConflict: 'ignore' }, /onConflict must be one of keep, replace/],
  [{}, { onConflict: null }, /onConflict must be/],
  [{}, { maxWait: 5 }, /maxWait needs onConflict/],
  [{}, { maxWait: -1, onConflict: 'replace' }, /maxWait must be an integer/],
  [{}, { maxwait: 5 }, /maxwait/],
  [{ idempotency_key: null }, { onConflict: 'replace' }, /needs a job with an idempotency_key/],
])('addJob refuses %o with %o', async (job, options, message) => {
  const queue = await jobs.openQueue();
  const adding = queue.addJob(keyed(job as Options), options as never);
  await rejection(adding, 'INVALID_ARGUMENT', message);
  expect(await count()).toBe(0);
});

test('upsertJob needs a key', async () => {
  const queue = await jobs.openQueue();
  const job = { job_type: 'job', payload: 1 };
  await rejection(
    queue.upsertJob(job as never),
    'INVALID_ARGUMENT',
    /must have an idempotency_key/,
  );
});

test.each<OnConflict>(['replace', 'postpone', 'supersede'])(
  "a trigger that discards what '%s' changes is told as such",
  async (onConflict) => {
    const queue = await jobs.openQueue();
    const id = await queue.addJob(keyed({ idempotency_hold: 60_000 }));
    await jobs.database.query(`
      create function discard() returns trigger language plpgsql as 'begin return null; end';
      create trigger discard before update on job_queue for each row execute function discard()`);
    onTestFinished(async () => {
      await jobs.database.query('drop trigger discard on job_queue; drop function discard()');
    });
    await rejection(queue.addJob(keyed(), { onConflict }), 'DATABASE_ERROR', /discarded/);
    expect(await queue.addJob(keyed())).toBe(id);
  },
);

test('a trigger that is cancelled for being slow is told at once, and harms no other key', async () => {
  const queue = await jobs.openQueue();
  await jobs.database.query(`
    create function slow() returns trigger language plpgsql as $$
    begin raise 'slow' using errcode = '57014'; end $$;
    create trigger slow before insert on job_queue for each row
    when (new.idempotency_key = 'key') execute function slow()`);
  onTestFinished(async () => {
    await jobs.database.query('drop trigger slow on job_queue; drop function slow()');
  });
  const others = Array.from({ length: 20 }, (_, n) =>
    queue.addJob(keyed({ idempotency_key: `other ${n}` })),
  );
  const error = await rejection(queue.addJob(keyed()), 'DATABASE_ERROR');
  expect(error).toMatchObject({ sqlState: '57014' });
  await rejection(queue.addJobs([keyed(), keyed()]), 'DATABASE_ERROR');
  expect(new Set(await Promise.all(others)).size).toBe(20);
});

test('a trigger that discards the job is told as such', async () => {
  const queue = await jobs.openQueue();
  await jobs.database.query(`
    create function discard() returns trigger language plpgsql as 'begin return null; end';
    create trigger discard before insert on job_queue for each row execute function discard()`);
  onTestFinished(async () => {
    await jobs.database.query('drop trigger discard on job_queue; drop function discard()');
  });
  await rejection(queue.addJob(keyed()), 'DATABASE_ERROR', /discarded/);
  await rejection(queue.addJob(keyed({ idempotency_hold: 5 })), 'DATABASE_ERROR', /discarded/);
  await rejection(
    queue.addJobs([keyed(), keyed({ idempotency_key: 'b' })]),
    'DATABASE_ERROR',
    /disc/,
  );
});
