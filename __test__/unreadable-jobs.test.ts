/** Jobs that the table holds and that Postgres cannot give back. */
import { beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';
import { jobWith, rejection, useQueue } from './helpers/queue.js';

const database = useDatabase();
const queue = useQueue(database);

let good: number[];
let bad: number;
/** Twenty-five jobs, the first the oldest, and one in their midst. */
beforeEach(async () => {
  await database.query('truncate job_queue');
  const jobs = Array.from({ length: 25 }, (_, n) => ({ job_type: 'task', payload: { n } }));
  good = await queue.addJobs(jobs);
  bad = await jobWith(database, `pending_reason = 'why'`);
  await database.query(
    `update job_queue set status = 'failed',
      created_at = now() + case when id = ${bad} then ${(good[12] ?? 0) + 0.5} else id end * interval '1 s'`,
  );
});

/** What lists them: the newest first, and that one with the payload `null`, in its place. */
function expectAll(records: { id: number; payload: unknown }[]): void {
  const newest = [...good].reverse();
  const ids = [...newest.slice(0, 12), bad, ...newest.slice(12)];
  expect(records.map(({ id }) => id)).toEqual(ids);
  for (const { id, payload } of records) {
    expect(payload).toEqual(id === bad ? null : { n: good.indexOf(id) });
  }
}

describe('a payload that is ninety kilobytes of text in, and more than a gigabyte out', () => {
  // Each time it takes Postgres seconds to notice.
  const slow = { timeout: 300_000 };
  beforeEach(() =>
    database.query(
      `update job_queue set payload = ('[' || repeat('1e131071,', 10000) || '1]')::jsonb
      where id = ${bad}`,
    ),
  );

  test('is left out of the lists, where the job is in its place', slow, async () => {
    expectAll(await queue.getAllJobs());
  });

  test("has the call rejected on a client of the caller's", slow, async () => {
    const error = await rejection(queue.getJob(database.pool, bad), 'INVALID_PAYLOAD');
    expect(error.sqlState).toBe('54000');
  });
});

describe('a value that cannot be read for another reason', () => {
  /** In place of the table a view, in which to read these columns of that job fails at once. */
  async function spoil<T>(columns: string[], act: () => Promise<T>): Promise<T> {
    const all = await database.query<{ name: string }>(
      `select attname as name from pg_attribute
      where attrelid = 'job_queue'::regclass and attnum > 0 and not attisdropped order by attnum`,
    );
    const selected = all.map(({ name }) =>
      columns.includes(name)
        ? `case when id = ${bad} and 1 / (id - ${bad}) = 1 then null else ${name} end as ${name}`
        : name,
    );
    await database.query(`alter table job_queue rename to whole;
      create view job_queue as select ${selected} from whole`);
    try {
      return await act();
    } finally {
      await database.query('drop view job_queue; alter table whole rename to job_queue');
    }
  }
  const most = { status: 'failed', job_type: 'task', payload: null };

  test('is left out of every list, and of the record', async () => {
    await spoil(['payload'], async () => {
      expectAll(await queue.getAllJobs());
      expectAll(await queue.getJobsByStatus('failed'));
      expect(await queue.getAllJobs(3, 11)).toMatchObject([{}, { id: bad }, {}]);
      expect(await queue.getJob(bad)).toMatchObject({ id: bad, ...most, pending_reason: 'why' });
    });
  });

  test.each(['error_history', 'pending_reason'])(
    'with all that is long if it is %s',
    async (column) => {
      await spoil([column], async () => {
        const left = { id: bad, ...most, pending_reason: null, error_history: [] };
        expect(await queue.getJob(bad)).toMatchObject(left);
        expect(await queue.getAllJobs()).toContainEqual(expect.objectContaining(left));
      });
    },
  );

  test('is told if nothing can be left out for it', async () => {
    const error = await spoil(['attempts'], () => rejection(queue.getAllJobs(), 'DATABASE_ERROR'));
    expect(error.sqlState).toBe('22012');
  });
});

test('what no record can be blamed for is told', async () => {
  await database.query('alter table job_queue rename to elsewhere');
  try {
    await rejection(queue.getAllJobs(), 'NOT_MIGRATED');
  } finally {
    await database.query('alter table elsewhere rename to job_queue');
  }
});
