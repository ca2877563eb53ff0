/** The writes that wait until they are on the disk, and those that need not, by the settings of their transactions. */
import { beforeAll, expect, test } from 'vitest';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

beforeAll(async () => {
  await jobs.database.query(`
    create table waits (status text, removed boolean, waits text);
    create function note_wait() returns trigger language plpgsql as $$
    begin
      insert into waits values (
        coalesce(new.status, old.status), tg_op = 'DELETE', current_setting('synchronous_commit')
      );
      return null;
    end
    $$;
    create trigger note_wait after insert or update or delete on job_queue
      for each row execute function note_wait();

    do $$
    begin
      execute format('alter database %I set synchronous_commit = on', current_database());
    end
    $$;
  `);
});

test('what addJob resolves with, and every outcome; a claim alone does not', async () => {
  // With one connection, a setting that stayed behind would be seen.
  const queue = await jobs.openQueue({ databaseConfig: { max: 1 } });
  const handlers = {
    kept: async () => {},
    failing: async () => {
      throw new Error('on purpose');
    },
  };
  // The first claim of a queue could settle as well.
  expect(await queue.createProcessor(handlers).start()).toBe(0);
  for (const job_type of ['kept', 'failing']) await queue.addJob({ job_type, payload: {} });
  expect(await queue.createProcessor(handlers).start()).toBe(2);
  await queue.addJob({ job_type: 'kept', payload: {} });
  expect(await queue.createProcessor(handlers, { removeOnComplete: true }).start()).toBe(1);

  const waits = await jobs.database.query('select distinct * from waits order by status, removed');
  expect(waits).toEqual([
    { status: 'completed', removed: false, waits: 'on' },
    { status: 'failed', removed: false, waits: 'on' },
    { status: 'pending', removed: false, waits: 'on' },
    { status: 'processing', removed: false, waits: 'off' },
    { status: 'processing', removed: true, waits: 'on' },
  ]);
});

test('a run whose claim a crash took back, and that another has by now, writes nothing', async () => {
  const queue = await jobs.openQueue();
  const [id = 0] = await jobs.insert(1);
  const claimed = `select run_no::text, extract(epoch from now()) * 1e6 - run_no as age from job_queue`;
  let first: { run_no: string; age: string } | undefined;
  const errors: unknown[] = [];
  const processor = queue.createProcessor(
    {
      job: async () => {
        [first] = await jobs.database.query(claimed);
        // The log did not hold it.
        await jobs.update(
          "status = 'pending', run_no = 0, attempts = 0, lease_expires_at = null",
          id,
        );
        const other = (await jobs.openQueue()).createProcessor({ job: async () => {} });
        expect(await other.start()).toBe(1);
      },
    },
    { onError: (error) => errors.push(error) },
  );
  await processor.start();
  expect(errors).toMatchObject([{ code: 'LEASE_LOST' }]);
  const [second] = await jobs.database.query<{ run_no: string }>(claimed);
  expect(Number(second?.run_no)).toBeGreaterThan(Number(first?.run_no));
  // It is a time, in microseconds.
  expect(Number(first?.age)).toBeGreaterThan(0);
  expect(Number(first?.age)).toBeLessThan(60e6);
  expect(await jobs.row(id)).toMatchObject({ status: 'completed', attempts: 1 });
});
