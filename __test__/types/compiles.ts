/** What must compile, and what must be inferred. Nothing here runs. */

import { Client, Pool, type PoolClient } from 'pg';
import {
  type AnyJobOptions,
  createRouteHandler,
  currentJob,
  initJobQueue,
  type JobContext,
  type JobDefinitions,
  type JobHandler,
  type JobHandlers,
  type JobOptions,
  type JobQueue,
  type JobQueueConfig,
  JobQueueError,
  type JobQueueErrorCode,
  type JobRecord,
  type JobStatus,
  type JobType,
  type Processor,
  type ProcessorOptions,
  RetryAfter,
  type RetryPolicy,
  Unrecoverable,
} from 'pg-bg-job-queue';

interface Email {
  to: string;
  subject: string;
}
interface Report {
  reportId: number;
}
// An interface on purpose: unlike a type alias, it has no implicit index signature.
interface Jobs {
  email: Email;
  report: Report;
}

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function isTrue<_Claim extends true>(): void {}

isTrue<Same<JobType<Jobs>, 'email' | 'report'>>();

const handlers: JobHandlers<Jobs> = {
  email: async ({ to, subject }) => console.log(to, subject),
  report: async ({ reportId }) => console.log(reportId),
};

/** Functions, definitions, or both: the payload of each is inferred. */
const definitions: JobDefinitions<Jobs> = {
  email: {
    run: async ({ to, subject }) => console.log(to, subject),
    retry: { delay: 5, decide: (error, job) => (error instanceof Error ? job.attempts : 'fail') },
    timeout: undefined,
  },
  report: handlers.report,
};

export function defining(queue: JobQueue<Jobs>, untyped: JobQueue, retry: RetryPolicy): void {
  queue.createProcessor(handlers, { retry });
  queue.createProcessor(definitions);
  queue.createProcessor({
    email: { run: async ({ to }) => console.log(to.length) },
    report: async ({ reportId }) => console.log(reportId.toFixed()),
  });
  untyped.createProcessor({ email: { run: async (payload) => console.log(payload.to) } });
  createRouteHandler(() => queue, definitions, { retry: { decide: () => new Date() } });
  const thrown: Error[] = [new RetryAfter(5), new RetryAfter(new Date(), 'x', { cause: 1 })];
  thrown.push(new Unrecoverable('x'));
  isTrue<Same<ReturnType<JobContext['snooze']>, void>>();
}

export async function adding(queue: JobQueue<Jobs>): Promise<number> {
  await queue.addJob({ job_type: 'email', payload: { to: 'a', subject: 'b' } });
  const stored: JobOptions<Jobs, 'report'> = { job_type: 'report', payload: { reportId: 1 } };
  await queue.addJob(stored);
  return queue.addJob({
    job_type: 'report',
    payload: { reportId: 1 },
    max_attempts: 5,
    priority: -1,
    run_at: new Date(),
  });
}

/** A job that may be of any type carries its own payload. */
export async function addingAny(
  queue: JobQueue<Jobs>,
  job: AnyJobOptions<Jobs>,
  jobs: readonly AnyJobOptions<Jobs>[],
  db: Pool,
): Promise<void> {
  await queue.addJob(job);
  await queue.addJob(job, { db });
  await queue.addJob(db, job);
  await queue.addJobs(jobs);
  await queue.addJobs(jobs, { db });
  await queue.addJobs(db, jobs);
  const types = ['email', 'report'] as const;
  for (const type of types) {
    if (type === 'email')
      await queue.addJob({ job_type: type, payload: { to: 'a', subject: 'b' } });
    else await queue.addJob({ job_type: type, payload: { reportId: 1 } });
  }
}

export async function addJobOf<Map, T extends JobType<Map>>(
  queue: JobQueue<Map>,
  job: JobOptions<Map, T>,
): Promise<number> {
  return queue.addJob(job);
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

enum Level {
  Low,
  High,
}

/** What JSON changes on the way, and what it does not. */
interface Changing {
  dates: { at: Date; until?: Date | null; all: readonly Date[]; pair: [Date, number] };
  url: URL;
  bytes: Buffer;
  converts: { toJSON(): { cents: number; at: Date } };
  holes: (string | undefined)[];
  maybe: { a?: string; b: string | undefined };
  anything: { known: unknown; any: Record<string, unknown> };
  json: Json;
  branded: { id: string & { readonly brand: 'id' }; level: Level; kind: 'a' | 'b' };
  union: { kind: 'a'; at: Date } | { kind: 'b'; n: number };
  none: null;
  list: readonly [Email, Report];
}

export async function parsed(queue: JobQueue<Changing>): Promise<void> {
  await queue.addJob({
    job_type: 'dates',
    payload: { at: new Date(), all: [new Date()], pair: [new Date(), 1] },
  });
  await queue.addJob({ job_type: 'url', payload: new URL('https://example.com') });
  await queue.addJob({ job_type: 'json', payload: { a: [1, { b: null }] } });
  await queue.addJob({ job_type: 'union', payload: { kind: 'a', at: new Date() } });
  type Payload<T extends keyof Changing> = Parameters<JobHandler<Changing, T>>[0];
  isTrue<
    Same<
      Payload<'dates'>,
      { at: string; until?: string | null; all: readonly string[]; pair: [string, number] }
    >
  >();
  isTrue<Same<Payload<'url'>, string>>();
  isTrue<Same<Payload<'bytes'>, { type: 'Buffer'; data: number[] }>>();
  isTrue<Same<Payload<'converts'>, { cents: number; at: string }>>();
  isTrue<Same<Payload<'holes'>, (string | null)[]>>();
  isTrue<Same<Payload<'union'>, { kind: 'a'; at: string } | { kind: 'b'; n: number }>>();
  isTrue<Same<Payload<'json'>, Json>>();
  isTrue<Same<Payload<'none'>, null>>();
  isTrue<Same<Payload<'maybe'>, Changing['maybe']>>();
  isTrue<Same<Payload<'anything'>, Changing['anything']>>();
  isTrue<Same<Payload<'branded'>, Changing['branded']>>();
  isTrue<Same<Payload<'list'>, Changing['list']>>();
  const job = await queue.getJob<'dates'>(1);
  if (job !== null) isTrue<Same<typeof job.payload, Payload<'dates'>>>();
}

/** Handlers that are written by the map itself, as the original's README has them, and one by one. */
export const byTheMap: { [T in keyof Jobs]: (payload: Jobs[T]) => Promise<void> } = handlers;
export const andBack: JobHandlers<Jobs> = byTheMap;
export const adapted = <T extends JobType<Jobs>>(
  handler: (payload: Jobs[T]) => Promise<void>,
): JobHandler<Jobs, T> => handler;

/** An application's own wrapper keeps the tie between the type and its payload. */
export function enqueue<T extends JobType<Jobs>>(
  queue: JobQueue<Jobs>,
  job_type: T,
  payload: Jobs[T],
): Promise<number> {
  return queue.addJob({ job_type, payload, run_at: null });
}

export async function reading(queue: JobQueue<Jobs>, status: JobStatus): Promise<void> {
  const job = await queue.getJob(1);
  isTrue<Same<typeof job, JobRecord<Jobs> | null>>();
  if (job === null) return;
  isTrue<Same<typeof job.payload, Email | Report>>();
  if (job.job_type === 'email') isTrue<Same<typeof job.payload, Email>>();
  else isTrue<Same<typeof job.payload, Report>>();
  isTrue<Same<typeof job.created_at, Date>>();
  isTrue<Same<typeof job.next_attempt_at, Date | null>>();
  isTrue<Same<(typeof job.error_history)[number]['message'], string>>();

  const report = await queue.getJob<'report'>('12');
  if (report !== null) isTrue<Same<typeof report.payload, Report>>();

  for (const each of await queue.getJobsByStatus(status)) {
    switch (each.job_type) {
      case 'email':
        console.log(each.payload.to);
        break;
      case 'report':
        console.log(each.payload.reportId);
    }
  }
  const emails: JobRecord<Jobs, 'email'>[] = await queue.getAllJobs<'email'>(10, 20);
  console.log(emails.map(({ payload }) => payload.subject));
}

export async function withOwnClient(queue: JobQueue<Jobs>): Promise<void> {
  const pool = new Pool();
  const clients: (Pool | PoolClient | Client)[] = [pool, await pool.connect(), new Client()];
  for (const db of clients) {
    await queue.addJob({ job_type: 'report', payload: { reportId: 1 } }, { db });
    await queue.addJob(db, { job_type: 'email', payload: { to: 'a', subject: 'b' } });
    const job = await queue.getJob(db, '1');
    if (job?.job_type === 'email') isTrue<Same<typeof job.payload, Email>>();
    await queue.getJobsByStatus(db, 'failed', 10, 20);
    await queue.getAllJobs(db, 10, 20);
    await queue.retryJob(db, 1);
    await queue.cancelJob(db, 1);
    isTrue<Same<Awaited<ReturnType<typeof queue.cancelJob>>, void>>();
    const counts: number[] = [
      await queue.cancelAllUpcomingJobs(db),
      await queue.cancelAllUpcomingJobs(db, { job_type: 'email' }),
      await queue.reclaimStuckJobs(db),
      await queue.reclaimStuckJobs(db, 10),
      await queue.cleanupOldJobs(db),
      await queue.cleanupOldJobs(db, 30),
    ];
    console.log(counts);
  }
  // Each class by itself too: an overload may accept a union for the sake of one of its members.
  await queue.getJob(pool, 1);
  await queue.getJob(await pool.connect(), 1);
  await queue.getJob(new Client(), 1);
}

export async function onTheQueuesOwnPool(queue: JobQueue<Jobs>): Promise<void> {
  await queue.retryJob(1);
  await queue.cancelJob('1');
  await queue.cancelAllUpcomingJobs();
  await queue.cancelAllUpcomingJobs({});
  await queue.cancelAllUpcomingJobs({ job_type: 'email', priority: 2, run_at: new Date() });
  await queue.reclaimStuckJobs();
  await queue.reclaimStuckJobs(0.5);
  await queue.cleanupOldJobs();
  await queue.cleanupOldJobs(0);
  const pool: Pool = queue.getPool();
  await pool.query('select 1');
}

export async function processing(queue: JobQueue<Jobs>): Promise<void> {
  const onError = (error: JobQueueError) => console.error(error.code);
  const options: ProcessorOptions = { workerId: 'w', batchSize: 5, concurrency: 2, verbose: true };
  const types = ['email', 'report'] as const;
  const processor: Processor = queue.createProcessor(handlers, {
    ...options,
    pollInterval: 1000,
    onError,
    jobType: types,
  });
  const processed: number = await processor.start();
  processor.startInBackground();
  const running: boolean = processor.isRunning();
  processor.stop();
  await processor.stopAndDrain();
  await processor.stopAndDrain(1000);
  console.log(processed, running);

  queue.createProcessor({
    email: async (payload) => {
      isTrue<Same<typeof payload, Email>>();
      const job: JobContext = currentJob();
      await fetch('https://example.com', { signal: job.signal });
    },
    // A handler may ignore its payload.
    report: async () => {},
  });
}

/** One handler, written apart from the others. */
export const report: JobHandler<Jobs, 'report'> = async ({ reportId }) => console.log(reportId);

export async function withoutAMap(config: JobQueueConfig): Promise<void> {
  const queue = await initJobQueue(config);
  await queue.addJob({ job_type: 'anything', payload: { at: ['all'] } });
  await queue.addJob({ job_type: 'anything', payload: null });
  const job = await queue.getJob(1);
  if (job !== null) {
    isTrue<Same<typeof job.job_type, string>>();
    console.log(job.payload.at[0]);
  }
  queue.createProcessor({ anything: async (payload) => console.log(payload.at) });
  const typed: JobQueue<Jobs> = queue;
  const untyped: JobQueue = typed;
  await untyped.close();
}

export async function disposing(): Promise<void> {
  await using queue = await initJobQueue<Jobs>({
    databaseConfig: { connectionString: process.env.DATABASE_URL, ssl: true, max: 1 },
    verbose: false,
    schema: 'jobs',
  });
  try {
    await queue.addJob({ job_type: 'report', payload: { reportId: 1 } });
  } catch (error) {
    if (!(error instanceof JobQueueError)) throw error;
    const code: JobQueueErrorCode = error.code;
    console.log(code, error.sqlState, error.cause);
  }
}

export async function withDefaults(): Promise<JobQueue<Jobs>> {
  const defaults: JobQueueConfig<Jobs>['defaults'] = {
    email: { max_attempts: 5, timeout_ms: null },
  };
  await initJobQueue({ databaseConfig: {}, defaults: { anything: { priority: undefined } } });
  return initJobQueue<Jobs>({ databaseConfig: {}, defaults: { ...defaults, report: undefined } });
}
