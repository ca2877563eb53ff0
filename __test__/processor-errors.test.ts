import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { JobQueueError } from '../index.js';
import { createDatabase } from './helpers/database.js';
import { heldHandler, Journal, useJobs } from './helpers/jobs.js';
import { behindPooler } from './helpers/modes.js';
import { deferred, until } from './helpers/until.js';

const jobs = useJobs();

describe('what fails outside the handlers', () => {
  test('is told to onError, and tried again until it works', async () => {
    await using bare = await createDatabase({ migrated: false });
    const queue = await jobs.openQueue({ databaseConfig: { connectionString: bare.url } });
    const errors = new Journal<JobQueueError>();
    const done = deferred();
    const processor = queue.createProcessor(
      { job: async () => done.resolve() },
      { onError: (error) => errors.note(error) },
    );
    processor.startInBackground();
    await errors.reaches(1);
    expect(errors.notes[0]).toBeInstanceOf(JobQueueError);
    expect(errors.notes[0]).toMatchObject({ code: 'NOT_MIGRATED' });

    await promisify(execFile)(process.execPath, ['cli.js', 'migrate', '--database', bare.url]);
    await queue.addJob({ job_type: 'job', payload: null });
    await done.promise;
    await processor.stopAndDrain();
    expect(errors.notes).toHaveLength(1);
  });

  test('is printed where there is no onError', async () => {
    const queue = await jobs.openQueue({ databaseConfig: { port: 1 } });
    const printed = deferred<unknown>();
    const spy = vi.spyOn(console, 'error').mockImplementation((what) => printed.resolve(what));
    onTestFinished(() => spy.mockRestore());
    const processor = queue.createProcessor({});
    processor.startInBackground();
    expect(await printed.promise).toMatchObject({ code: 'CONNECTION_FAILED' });
    await processor.stopAndDrain();
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('onError itself fails');
      },
    ],
    ['rejects', () => Promise.reject(new Error('onError itself fails'))],
  ])('does no harm where onError %s', async (_, fail) => {
    const queue = await jobs.openQueue();
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => printed.mockRestore());
    const [lost = 0] = await jobs.insert(1, { attempts: '3' });
    const onError = vi.fn(fail);
    const processor = queue.createProcessor({ job: async () => {} }, { onError });
    processor.startInBackground();
    await jobs.untilStatus(lost, 'failed');
    const id = await queue.addJob({ job_type: 'job', payload: null });
    await jobs.untilStatus(id, 'completed');
    await processor.stopAndDrain();
    expect(onError).toHaveBeenCalledOnce();
    expect(printed).toHaveBeenCalledOnce();
  });

  const pooled = behindPooler('it replaces a lost connection before the queue sees the loss');
  test.skipIf(pooled)(
    'loses no outcome: what ends while the database is away is settled when it is back',
    async () => {
      const databaseConfig = { application_name: 'away' };
      const queue = await jobs.openQueue({ databaseConfig });
      const [id = 0] = await jobs.insert(1);
      const { handler, started, release } = heldHandler();
      const errors = new Journal<JobQueueError>();
      const options = { pollInterval: 5, onError: (error: JobQueueError) => errors.note(error) };
      const processor = queue.createProcessor({ job: handler }, options);
      processor.startInBackground();
      await started;

      const endConnections = () =>
        jobs.database.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'away'`);
      await endConnections();
      release();
      // A connection that the pool knows to be dead is replaced, and nothing fails: until a statement has met one.
      await until(async () => {
        await endConnections();
        return errors.notes.length > 0;
      });
      await jobs.untilStatus(id, 'completed');
      await processor.stopAndDrain();

      expect(errors.notes[0]).toMatchObject({ code: 'CONNECTION_FAILED' });
      expect(await jobs.row(id)).toMatchObject({ attempts: 1, error_history: [] });
    },
  );
});
