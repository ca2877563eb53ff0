/** What became of the jobs, from their records and from the files that they left; and what is wrong with it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRecord } from 'pg-bg-job-queue';
import { isSigned } from './handlers.js';
import { goneDomain, type JobPayloadMap, jobCount } from './jobs.js';
import { listed } from './text.js';

export type Job = JobRecord<JobPayloadMap>;

/** How often the worker of a job was lost. */
export const timesLost = (job: Job) =>
  job.error_history.filter(({ name }) => name === 'WorkerLost').length;

export interface Effects {
  /** How often the email of a job went out, by the job's id. */
  emails: Map<number, number>;
  /** The ids of the reports that are there and whole. */
  reports: Set<string>;
}

export async function countEffects(folder: string): Promise<Effects> {
  const emails = new Map<number, number>();
  const reports = new Set<string>();
  for (const file of await readdir(folder)) {
    const [, id] = /^(\d+)-\d+\.eml$/.exec(file) ?? [];
    if (id) emails.set(Number(id), (emails.get(Number(id)) ?? 0) + 1);
    const [, reportId] = /^(.+)\.csv$/.exec(file) ?? [];
    if (reportId && isSigned(await readFile(join(folder, file), 'utf8'))) reports.add(reportId);
  }
  return { emails, reports };
}

/** What should not be, in words. `held` is what a worker held when it was killed. */
export function findFaults(jobs: readonly Job[], effects: Effects, held: number[]): string[] {
  const faults: string[] = [];
  const expect = (what: string, wrong: readonly number[]) => {
    if (wrong.length > 0) faults.push(`${what}: ${listed(wrong.slice(0, 20))}`);
  };
  const idsOf = (wrong: (job: Job) => boolean) => jobs.filter(wrong).map(({ id }) => id);

  if (jobs.length !== jobCount) faults.push(`the table has ${jobs.length} jobs, not ${jobCount}`);
  if (held.length === 0) faults.push('the killed worker held no job');
  expect(
    'jobs that did not come to their end',
    idsOf((job) => job.status !== (isHopeless(job) ? 'failed' : 'completed')),
  );
  expect(
    'jobs that failed for good with attempts left',
    idsOf((job) => job.status === 'failed' && job.attempts < job.max_attempts),
  );
  expect(
    'jobs of the killed worker that nobody took over',
    held.filter((id) => jobs.every((job) => job.id !== id || timesLost(job) === 0)),
  );
  expect(
    'completed jobs without an effect',
    idsOf((job) => job.status === 'completed' && effectsOf(job, effects) === 0),
  );
  expect(
    'failed jobs with an effect',
    idsOf((job) => job.status === 'failed' && effectsOf(job, effects) > 0),
  );
  expect(
    'jobs with more effects than lost workers explain',
    idsOf((job) => effectsOf(job, effects) > 1 + timesLost(job)),
  );
  return faults;
}

function isHopeless(job: Job): boolean {
  return job.job_type === 'send_email' && job.payload.to.endsWith(goneDomain);
}

function effectsOf(job: Job, { emails, reports }: Effects): number {
  if (job.job_type === 'send_email') return emails.get(job.id) ?? 0;
  return reports.has(job.payload.reportId) ? 1 : 0;
}
