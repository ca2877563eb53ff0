import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { currentJob, type DatabaseClient } from '../../index.js';
import { useDatabase } from '../helpers/database.js';
import { behindPooler } from '../helpers/modes.js';
import { jobWith, openQueue, rejection, runDueJobs, useQueue } from '../helpers/queue.js';
import { deferred, until } from '../helpers/until.js';
import { libraries } from './libraries.js';
import { startNeonProxy } from './neon-proxy.js';
import type { Opened } from './opened.js';

const database = useDatabase();
const queue = useQueue(database);
const empty = useDatabase({ migrated: false });
const onEmpty = useQueue(empty);

beforeAll(async () => {
  const proxy = await startNeonProxy();
  return () => proxy[Symbol.asyncDispose]();
});
beforeEach(() => database.query('truncate job_queue'));

const job = (name: string) => ({ job_type: 'task', payload: { name } });
const names = async () => (await queue.getAllJobs()).map(({ payload }) => payload.name).reverse();

/** What a test throws to have a transaction rolled back. */
class Rollback extends Error {}

const forms = {
  'in the first place': (db: DatabaseClient, name: string) => queue.addJob(db, job(name)),
  'as { db }': (db: DatabaseClient, name: string) => queue.addJob(job(name), { db }),
};

describe.each(Object.entries(libraries))('in a transaction of %s', (library, open) => {
  let opened: Opened;

  beforeAll(async () => {
    opened = await open(database.directUrl);
  });
  afterAll(() => opened.close());

  /** Runs `work` in a transaction that is rolled back at its end. */
  async function rolledBack(work: (db: DatabaseClient) => Promise<unknown>): Promise<void> {
    const transaction = opened.transaction(async ({ db }) => {
      await work(db);
      throw new Rollback();
    });
    await expect(transaction).rejects.toBeInstanceOf(Rollback);
  }

  describe.each(Object.entries(forms))('with the client %s', (_form, add) => {
    test('a job is there for others once that commits, and not before', async () => {
      const id = await opened.transaction(async ({ db }) => {
        const added = await add(db, 'new');
        expect(await queue.getJob(db, added)).toMatchObject(job('new'));
        expect(await queue.getJob(added)).toBeNull();
        return added;
      });
      expect(await queue.getJob(id)).toMatchObject(job('new'));
    });

    test('a job is gone if that rolls back', async () => {
      await rolledBack((db) => add(db, 'never'));
      expect(await names()).toEqual([]);
    });

    test('a job is gone if that rolls back to a savepoint before it', async () => {
      await opened.transaction(async ({ db, savepoint }) => {
        await add(db, 'first');
        const undone = savepoint(async (nested) => {
          await add(nested, 'second');
          throw new Rollback();
        });
        await expect(undone).rejects.toBeInstanceOf(Rollback);
        await savepoint((nested) => add(nested, 'third'));
      });
      expect(await names()).toEqual(['first', 'third']);
    });
  });

  test('a job does not run before the commit, and runs after it', async () => {
    const id = await opened.transaction(async ({ db }) => {
      const added = await queue.addJob(db, job('later'));
      expect(await runDueJobs(queue)).toEqual([]);
      return added;
    });
    expect(await runDueJobs(queue)).toEqual([id]);
  });

  test.skipIf(behindPooler('to listen takes a session'))(
    'an idle worker is woken by the commit',
    async () => {
      await using worker = await openQueue(database, { databaseConfig: { max: 2 } });
      const ran = deferred<number>();
      const processor = worker.createProcessor(
        { task: async () => ran.resolve(currentJob().id) },
        { pollInterval: 600_000 },
      );
      processor.startInBackground();
      const listens = `select from pg_stat_activity
        where datname = current_database() and state = 'idle' and query ilike 'listen%'`;
      await until(async () => (await database.query(listens)).length === 1);
      const id = await opened.transaction(({ db }) => queue.addJob(db, job('at once')));
      expect(await ran.promise).toBe(id);
    },
  );

  test('a handler completes its job by the commit, together with what it wrote', async () => {
    const id = await jobWith(database);
    const task = async () => {
      await opened.transaction(async ({ db }) => {
        await queue.addJob(db, job('its effect'));
        await currentJob().completeIn(db);
        expect(await queue.getJob(id)).toMatchObject({ status: 'processing' });
      });
      expect(await queue.getJob(id)).toMatchObject({ status: 'completed' });
      throw new Error('too late to matter');
    };
    await queue.createProcessor({ task }, { batchSize: 1 }).start();
    expect(await queue.getJob(id)).toMatchObject({ status: 'completed', error_history: [] });
    expect(await queue.getAllJobs()).toHaveLength(2);
  });

  test('a job is not completed in what is no transaction, where that can be told', async () => {
    const id = await jobWith(database);
    const refused: unknown[] = [];
    const task = async () => {
      await currentJob()
        .completeIn(opened.db)
        .catch((error: unknown) => refused.push(error));
      throw new Error('undone');
    };
    await queue.createProcessor({ task }, { batchSize: 1, onError: () => {} }).start();
    if (/Client|reserved|QueryRunner|anything|strange/.test(library)) {
      expect(await queue.getJob(id)).toMatchObject({ status: 'completed' });
      return;
    }
    expect(refused).toMatchObject([
      { code: 'INVALID_ARGUMENT', message: expect.stringContaining('is not a transaction') },
    ]);
    expect(await queue.getJob(id)).toMatchObject({ status: 'failed', attempts: 1 });
  });

  test('a rollback leaves the job to how its handler ends', async () => {
    const id = await jobWith(database);
    const task = async () => {
      await rolledBack(async (db) => {
        await queue.addJob(db, job('its effect'));
        await currentJob().completeIn(db);
      });
      throw new Error('undone');
    };
    await queue.createProcessor({ task }, { batchSize: 1 }).start();
    expect(await queue.getAllJobs()).toMatchObject([
      { id, status: 'failed', error_history: [{ message: 'undone' }] },
    ]);
  });

  test('many jobs are added at once, or none', async () => {
    const jobs = ['a', 'b', 'c'].map(job);
    await rolledBack((db) => queue.addJobs(db, jobs));
    expect(await names()).toEqual([]);
    const ids = await opened.transaction(({ db }) => queue.addJobs(jobs, { db }));
    const records = await Promise.all(ids.map((id) => queue.getJob(id)));
    expect(records).toMatchObject(jobs);
  });

  test('all else that is done to jobs is undone as well', async () => {
    const states = [
      `status = 'failed', attempts = 3`,
      '',
      '',
      `status = 'completed'`,
      `status = 'processing', attempts = 1, locked_at = '2020-01-02'`,
    ];
    const ids: number[] = [];
    for (const state of states) ids.push(await jobWith(database, state));
    const [failed = 0, pending = 0, upcoming = 0, completed = 0, stuck = 0] = ids;
    const before = await queue.getAllJobs();
    await rolledBack(async (db) => {
      await queue.retryJob(db, failed);
      await queue.cancelJob(db, pending);
      expect(await queue.cancelAllUpcomingJobs(db)).toBe(2);
      expect(await queue.reclaimStuckJobs(db)).toBe(1);
      expect(await queue.cleanupOldJobs(db, 0)).toBe(1);
      const after = await queue.getAllJobs(db);
      expect(Object.fromEntries(after.map(({ id, status }) => [id, status]))).toEqual({
        [failed]: 'cancelled',
        [pending]: 'cancelled',
        [upcoming]: 'cancelled',
        [stuck]: 'pending',
      });
      expect(await queue.getJob(db, completed)).toBeNull();
      expect(await queue.getJobsByStatus(db, 'cancelled')).toHaveLength(3);
    });
    expect(await queue.getAllJobs()).toEqual(before);
  });

  test('what is refused before it is sent leaves the transaction usable', async () => {
    const bad = { job_type: 'task', payload: 'a\0b' };
    await opened.transaction(async ({ db }) => {
      await rejection(queue.addJob(db, bad), 'INVALID_PAYLOAD');
      await rejection(queue.addJobs([bad], { db }), 'INVALID_PAYLOAD');
      await rejection(queue.addJob(db, { ...job('x'), priority: 0.5 }), 'INVALID_ARGUMENT');
      await rejection(queue.getJob(db, -1), 'INVALID_ARGUMENT');
      await queue.addJob(db, job('good'));
    });
    expect(await names()).toEqual(['good']);
  });

  test('that the tables are missing is found by the statement, so the transaction is over', async () => {
    const unmigrated = await open(empty.directUrl);
    try {
      const transaction = unmigrated.transaction(async ({ db, savepoint }) => {
        // Under a savepoint it is not.
        await rejection(
          savepoint((nested) => onEmpty.addJob(nested, job('x'))),
          'NOT_MIGRATED',
        );
        await rejection(onEmpty.addJob(db, job('x')), 'NOT_MIGRATED');
        const { sqlState } = await rejection(onEmpty.addJob(db, job('x')), 'DATABASE_ERROR');
        expect(sqlState).toBe('25P02');
        throw new Rollback();
      });
      await expect(transaction).rejects.toBeInstanceOf(Rollback);
    } finally {
      await unmigrated.close();
    }
  });
});
