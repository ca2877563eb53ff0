/** What the types must refuse. A line that compiles fails: its `@ts-expect-error` is unused. */

import type { Pool } from 'pg';
import { initJobQueue, type JobHandlers, type JobQueue, type JobRecord } from 'pg-bg-job-queue';

interface Jobs {
  email: { to: string };
  report: { reportId: number };
}

declare const queue: JobQueue<Jobs>;
declare const db: Pool;
const payload = { to: 'a' };
const email = async (_: { to: string }) => {};
const report = async (_: { reportId: number }) => {};

export async function adding(): Promise<void> {
  // @ts-expect-error another job's payload
  await queue.addJob({ job_type: 'email', payload: { reportId: 1 } });
  // @ts-expect-error a field of the wrong type
  await queue.addJob({ job_type: 'report', payload: { reportId: '1' } });
  // @ts-expect-error a field missing
  await queue.addJob({ job_type: 'report', payload: {} });
  // @ts-expect-error a field too many
  await queue.addJob({ job_type: 'email', payload: { to: 'a', cc: 'b' } });
  // @ts-expect-error no payload
  await queue.addJob({ job_type: 'email' });
  // @ts-expect-error no job type
  await queue.addJob({ payload });
  // @ts-expect-error an unknown job type
  await queue.addJob({ job_type: 'emial', payload });
  // @ts-expect-error a misspelt option
  await queue.addJob({ job_type: 'email', payload, prioritty: 1 });
  // @ts-expect-error an option in the other style
  await queue.addJob({ job_type: 'email', payload, runAt: new Date() });
  // @ts-expect-error a time that is a string
  await queue.addJob({ job_type: 'email', payload, run_at: '2030-01-01' });
  // @ts-expect-error a priority that is a string
  await queue.addJob({ job_type: 'email', payload, priority: 'high' });
  // @ts-expect-error a database client that cannot query
  await queue.addJob({ job_type: 'email', payload }, { db: {} });
  // @ts-expect-error a misspelt option of the method
  await queue.addJob({ job_type: 'email', payload }, { client: db });
  // @ts-expect-error another job's payload, with the caller's client
  await queue.addJob(db, { job_type: 'email', payload: { reportId: 1 } });
  // @ts-expect-error a misspelt option, with the caller's client
  await queue.addJob(db, { job_type: 'email', payload, prioritty: 1 });
}

interface NotJson {
  bigint: { n: bigint };
  function: { run: () => void };
  map: Map<string, string>;
  set: { all: Set<number> };
  deep: { list: { maybe?: bigint }[] };
  symbol: symbol;
  class: { promise: Promise<void> };
  converts: { toJSON(): bigint };
}
declare const either: 'email' | 'report';
declare const notJson: JobQueue<NotJson>;

export async function addingOneOfSeveral(): Promise<void> {
  // @ts-expect-error it may be the payload of the other
  await queue.addJob({ job_type: either, payload });
  // @ts-expect-error the same on a client
  await queue.addJob({ job_type: either, payload }, { db });
  // @ts-expect-error the same with the client first
  await queue.addJob(db, { job_type: either, payload });
  // @ts-expect-error the same among several jobs
  await queue.addJobs([{ job_type: either, payload }]);
  // @ts-expect-error the same among several jobs on a client
  await queue.addJobs([{ job_type: either, payload }], { db });
  // @ts-expect-error the same among several jobs with the client first
  await queue.addJobs(db, [{ job_type: either, payload }]);
  const job = { job_type: either, payload };
  // @ts-expect-error the same from a variable
  await queue.addJob(job);
  const known: JobRecord<Jobs> | null = await queue.getJob(1);
  // @ts-expect-error of a record, before its type is known
  if (known) await queue.addJob({ job_type: known.job_type, payload: known.payload });
  // @ts-expect-error types that are named
  await queue.addJob<'email' | 'report'>({ job_type: 'report', payload });
}

export async function addingWhatJsonHasNot(): Promise<void> {
  // @ts-expect-error a bigint
  await notJson.addJob({ job_type: 'bigint', payload: { n: 1n } });
  // @ts-expect-error a function
  await notJson.addJob({ job_type: 'function', payload: { run: () => {} } });
  // @ts-expect-error a Map
  await notJson.addJob({ job_type: 'map', payload: new Map() });
  // @ts-expect-error a Set
  await notJson.addJob({ job_type: 'set', payload: { all: new Set<number>() } });
  // @ts-expect-error a bigint inside of a list
  await notJson.addJob({ job_type: 'deep', payload: { list: [{ maybe: 1n }] } });
  // @ts-expect-error a symbol
  await notJson.addJob({ job_type: 'symbol', payload: Symbol('a') });
  // @ts-expect-error an object with methods
  await notJson.addJob({ job_type: 'class', payload: { promise: Promise.resolve() } });
  // @ts-expect-error what converts to something that JSON has not
  await notJson.addJob({ job_type: 'converts', payload: { toJSON: () => 1n } });
  // @ts-expect-error a bigint, on a client
  await notJson.addJob(db, { job_type: 'bigint', payload: { n: 1n } });
  // @ts-expect-error a bigint, on a client
  await notJson.addJob({ job_type: 'bigint', payload: { n: 1n } }, { db });
  // @ts-expect-error a bigint among several jobs
  await notJson.addJobs([{ job_type: 'bigint', payload: { n: 1n } }]);
  // @ts-expect-error a bigint among several jobs, on a client
  await notJson.addJobs(db, [{ job_type: 'bigint', payload: { n: 1n } }]);
}

export function handling(dates: JobQueue<{ remind: { at: Date } }>): void {
  // @ts-expect-error a Date, which is a string by then
  dates.createProcessor({ remind: async ({ at }) => console.log(at.getTime()) });
  // @ts-expect-error a handler that takes a Date
  dates.createProcessor({ remind: async (_: { at: Date }) => {} });
  // @ts-expect-error a Date in a record
  void dates.getJob(1).then((job) => job?.payload.at.getTime());
}

export async function reading(job: JobRecord<Jobs>): Promise<void> {
  // @ts-expect-error a misspelt status
  await queue.getJobsByStatus('canceled');
  // @ts-expect-error a misspelt status, with the caller's client
  await queue.getJobsByStatus(db, 'done');
  // @ts-expect-error an unknown job type
  await queue.getJob<'emial'>(1);
  // @ts-expect-error an id that is none
  await queue.getJob({ id: 1 });
  // @ts-expect-error a limit that is a string
  await queue.getAllJobs('10');
  // @ts-expect-error the payload of one job type, before the type is known
  console.log(job.payload.to);
  // @ts-expect-error the payload of the other job type
  if (job.job_type === 'report') console.log(job.payload.to);
  // @ts-expect-error a job type that there is not
  console.log(job.job_type === 'emial');
  // @ts-expect-error a job that may not be there
  console.log((await queue.getJob(1)).id);
}

export async function cancelling(): Promise<void> {
  // @ts-expect-error a misspelt filter
  await queue.cancelAllUpcomingJobs({ jobType: 'email' });
  // @ts-expect-error a misspelt filter beside a good one
  await queue.cancelAllUpcomingJobs({ priority: 1, job_tpye: 'email' });
  // @ts-expect-error a misspelt filter, with the caller's client
  await queue.cancelAllUpcomingJobs(db, { jobType: 'email' });
  // @ts-expect-error an unknown job type
  await queue.cancelAllUpcomingJobs({ job_type: 'emial' });
  // @ts-expect-error a filter that is null would cancel more than was meant
  await queue.cancelAllUpcomingJobs({ run_at: null });
  // @ts-expect-error a time that is a string
  await queue.cancelAllUpcomingJobs({ run_at: '2030-01-01' });
}

// @ts-expect-error a handler missing
queue.createProcessor({ email });
// @ts-expect-error a handler too many
queue.createProcessor({ email, report, extra: report });
// @ts-expect-error a handler for another payload
queue.createProcessor({ email: report, report });
// @ts-expect-error a handler that is not asynchronous
queue.createProcessor({ email: () => {}, report });
// @ts-expect-error a definition with the handler of another job type
queue.createProcessor({ email: { run: report }, report });
// @ts-expect-error a definition without a handler
queue.createProcessor({ email: { timeout: 5 }, report });
// @ts-expect-error a misspelt field of a definition
queue.createProcessor({ email: { run: email, retires: {} }, report });
// @ts-expect-error a misspelt field of a policy
queue.createProcessor({ email: { run: email, retry: { dealy: 5 } }, report });
// @ts-expect-error a decision that is none
queue.createProcessor({ email: { run: email, retry: { decide: () => 'again' } }, report });
// @ts-expect-error an async decision
queue.createProcessor({ email, report }, { retry: { decide: async () => 5 } });
// @ts-expect-error definitions where an app's own tests call functions
export const called: JobHandlers<Jobs> = { email: { run: email }, report };
// @ts-expect-error a handler that wants more than the payload
queue.createProcessor({ email: async (_: { to: string }, _job: object) => {}, report });
// @ts-expect-error no handlers
queue.createProcessor();
// @ts-expect-error a misspelt option
queue.createProcessor({ email, report }, { concurency: 1 });
// @ts-expect-error an option of the wrong type
queue.createProcessor({ email, report }, { pollInterval: '5s' });
// @ts-expect-error a handler missing from a table of them
export const handlers: JobHandlers<Jobs> = { email };

const databaseConfig = {};
// @ts-expect-error no database
initJobQueue({});
// @ts-expect-error a misspelt option
initJobQueue({ databaseConfig, verbos: true });
// @ts-expect-error a misspelt option of the database
initJobQueue({ databaseConfig: { conectionString: '' } });
// @ts-expect-error a misspelt option of TLS
initJobQueue({ databaseConfig: { ssl: { rejectUnauthorised: false } } });
// @ts-expect-error a port that is a string
initJobQueue({ databaseConfig: { port: '5432' } });
// @ts-expect-error defaults of an unknown job type
initJobQueue<Jobs>({ databaseConfig, defaults: { emial: { priority: 1 } } });
// @ts-expect-error a misspelt option of a job
initJobQueue<Jobs>({ databaseConfig, defaults: { email: { prioritty: 1 } } });
// @ts-expect-error a time is a job's own
initJobQueue<Jobs>({ databaseConfig, defaults: { email: { run_at: new Date() } } });
// @ts-expect-error a word that is none of the option's
queue.createProcessor({ email, report }, { unknownTypes: 'ignore' });
