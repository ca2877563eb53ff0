/** The jobs of an imaginary shop. */
import type { JobOptions } from 'pg-bg-job-queue';

export type JobPayloadMap = {
  send_email: { to: string; subject: string; body: string };
  generate_report: { reportId: string; userId: string; month: string };
};

export const jobTypes = ['send_email', 'generate_report'] as const;

/** Its mail server says "busy" to a first attempt, as servers do that fend off spam. */
export const busyDomain = 'busy.example';
/** Its mailboxes no longer exist. */
export const goneDomain = 'gone.example';

export const jobCount = 1_000;
export const firstScheduledMs = 4_000;
export const lastScheduledMs = 24_000;

/** A thousand jobs, the same in every run. `now` is what their schedules are counted from. */
export function planJobs(now: Date): JobOptions<JobPayloadMap>[] {
  let emails = 0;
  return Array.from({ length: jobCount }, (_, index) => {
    const options = { priority: (index * 7) % 11, run_at: scheduleOf(index, now) };
    return index % 10 === 3 || index % 10 === 6 || index % 10 === 9
      ? { job_type: 'generate_report', payload: report(index), max_attempts: 5, ...options }
      : { job_type: 'send_email', payload: email(emails++), max_attempts: 3, ...options };
  });
}

/** One job in ten is for later, of each type as many. */
function scheduleOf(index: number, now: Date): Date | null {
  if (index % 20 !== 7 && index % 20 !== 16) return null;
  const span = lastScheduledMs - firstScheduledMs;
  return new Date(now.getTime() + firstScheduledMs + Math.round((span * index) / jobCount));
}

const names = 'ada blaise carl dorothy edsger frances grace hedy ivan joan katherine leslie';
const mailboxes = names.split(' ');
const domains = ['example.com', 'example.org', 'example.net'];
const subjects = ['Your receipt for order', 'On its way: your order', 'How did you like order'];

function email(index: number): JobPayloadMap['send_email'] {
  const name = at(mailboxes, index);
  const subject = `${at(subjects, index)} ${20_000 + index}`;
  return {
    to: `${name}.${index}@${domainOf(index)}`,
    subject,
    body: `Dear ${name},\n\n${subject}: see https://shop.example/orders/${20_000 + index}.\n`,
  };
}

function domainOf(index: number): string {
  if (index % 100 === 40) return goneDomain;
  return index % 12 === 5 ? busyDomain : at(domains, index);
}

function report(index: number): JobPayloadMap['generate_report'] {
  const month = `2025-${String((index % 12) + 1).padStart(2, '0')}`;
  return { reportId: `sales-${month}-${index}`, userId: `user-${100 + (index % 40)}`, month };
}

const at = (list: readonly string[], index: number) => list[index % list.length] as string;
