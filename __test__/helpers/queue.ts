/** Queues on a test's database, and jobs that a hand has put there. */
import { inspect } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import {
  currentJob,
  type DatabaseConfig,
  initJobQueue,
  type JobQueue,
  type JobQueueConfig,
  JobQueueError,
  type JobQueueErrorCode,
  type ProcessorOptions,
} from '../../index.js';
import type { TestDatabase } from './database.js';
import { expectNoSecrets } from './secrets.js';
import { deferred } from './until.js';

export type QueueOptions = Omit<JobQueueConfig, 'databaseConfig'> & {
  databaseConfig?: DatabaseConfig;
};

/** A queue on `database`: `await using queue = await openQueue(database)`. */
export function openQueue(
  database: TestDatabase,
  { databaseConfig, ...config }: QueueOptions = {},
): Promise<JobQueue> {
  const { pooler } = database;
  return initJobQueue({
    pooler,
    ...config,
    databaseConfig: { ...database.config, ...databaseConfig },
  });
}

/** A queue for the tests of a file. The handle may be read at once, the queue used in tests. */
export function useQueue(database: TestDatabase, options?: QueueOptions): JobQueue {
  let queue: JobQueue;
  beforeAll(async () => {
    queue = await openQueue(database, options);
  });
  afterAll(() => queue.close());
  return new Proxy({} as JobQueue, {
    get: (_, key) => (Reflect.get(queue, key) as () => unknown).bind(queue),
  });
}

/**
 * Adds a job by hand and puts it in the state that `assignments`, the inside of an SQL `set`, say.
 * Resolves to its id.
 */
export async function jobWith(database: TestDatabase, assignments = ''): Promise<number> {
  const [row] = await database.query<{ id: string }>(
    `insert into job_queue (job_type, payload) values ('task', '{}') returning id`,
  );
  const id = Number(row?.id);
  if (assignments) await database.query(`update job_queue set ${assignments} where id = ${id}`);
  return id;
}

/** Runs a batch of what is due, all of it well; resolves to the ids of the jobs that ran. */
export async function runDueJobs(queue: JobQueue): Promise<number[]> {
  const ran: number[] = [];
  await queue.createProcessor({ task: async () => void ran.push(currentJob().id) }).start();
  return ran;
}

/** Starts a batch of what is due, and resolves once a handler runs: it goes on until `finish`. */
export async function beginDueJobs(queue: JobQueue, options?: ProcessorOptions) {
  const [started, finished] = [deferred(), deferred()];
  const handler = () => {
    started.resolve();
    return finished.promise;
  };
  const ran = queue.createProcessor({ task: handler }, options).start();
  await started.promise;
  return {
    /** Resolves to how many jobs have run. */
    finish() {
      finished.resolve();
      return ran;
    },
  };
}

/**
 * What a promise rejects with, if that is a `JobQueueError` of this code and message, which tells no
 * secret.
 */
export async function rejection(
  promise: Promise<unknown>,
  code: JobQueueErrorCode,
  message: string | RegExp = '',
): Promise<JobQueueError> {
  const error = await promise.then(
    (value) => expect.fail(`resolved to ${inspect(value)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(JobQueueError);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expectNoSecrets(error);
  return error as JobQueueError;
}
