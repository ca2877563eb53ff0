/** The end of the story: tables of what happened. */
import type { Display } from './display.js';
import { jobTypes } from './jobs.js';
import { countEffects, findFaults, type Job, timesLost } from './outcome.js';
import { counted, duration, type Line, listed, number, span, wrap } from './text.js';

export interface Facts {
  records: Job[];
  /** Where the effects are. */
  folder: string;
  /** The jobs that a worker held when it was killed. */
  held: number[];
}

/** Prints the report; resolves to whether everything adds up. */
export async function report(facts: Facts, display: Display): Promise<boolean> {
  const { records, folder, held } = facts;
  const effects = await countEffects(folder);
  const faults = findFaults(records, effects, held);

  display.print([[], ...table(outcomes(records)), [], ...table(delays(records)), []]);
  const tell = (text: string) =>
    display.print(wrap(text, display.width - 2).map((line) => [span(`  ${line}`)]));
  tell(backlogPace(records));
  tell(effectsInWords(records, effects.emails));
  display.print([[]]);

  for (const fault of faults) {
    display.print(wrap(`Wrong: ${fault}`, display.width - 2).map((l) => [span(`  ${l}`, 'red')]));
  }
  if (faults.length === 0) {
    display.print([[span(`  Everything adds up, after ${duration(display.elapsedMs)}.`, 'green')]]);
    tell('Next: README.md; the jobs and handlers of this demo are in examples/demo.');
  }
  return faults.length === 0;
}

type Row = (string | number)[];

function outcomes(jobs: Job[]): Row[] {
  const groups = [...jobTypes.map((type) => jobs.filter((job) => job.job_type === type)), jobs];
  const row = (label: string, count: (group: Job[]) => number): Row => [
    label,
    ...groups.map((group) => number(count(group))),
  ];
  const sum = (group: Job[], of: (job: Job) => number) =>
    group.reduce((total, job) => total + of(job), 0);
  return [
    ['jobs', ...jobTypes, 'total'],
    row('added', (group) => group.length),
    row('completed', (group) => group.filter(({ status }) => status === 'completed').length),
    row('failed for good', (group) => group.filter(({ status }) => status === 'failed').length),
    row('retries', (group) => sum(group, (job) => job.attempts - 1 - timesLost(job))),
    row('taken over', (group) => group.filter((job) => timesLost(job) > 0).length),
  ];
}

const isScheduled = (job: Job) => (job.run_at?.getTime() ?? 0) > job.created_at.getTime();

/** How long jobs were due before they were started. A later attempt hides when the first was due. */
function delays(jobs: Job[]): Row[] {
  const first = jobs.filter(({ attempts, status }) => attempts === 1 && status === 'completed');
  const row = (label: string, chosen: (job: Job) => boolean): Row => {
    const waits = first.filter(chosen).map(waitOf);
    return [label, number(waits.length), quantile(waits, 0.5), quantile(waits, 0.95)];
  };
  const backlog = (from: number, to: number): Row =>
    row(
      `priority ${from} to ${to}`,
      (job) => !isScheduled(job) && job.priority >= from && job.priority <= to,
    );
  return [
    ['from due to start', 'jobs', 'p50', 'p95'],
    backlog(8, 10),
    backlog(4, 7),
    backlog(0, 3),
    row('scheduled', isScheduled),
  ];
}

const waitOf = ({ locked_at, run_at }: Job) =>
  (locked_at?.getTime() ?? 0) - (run_at?.getTime() ?? 0);

function quantile(values: number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.ceil(sorted.length * share) - 1];
  return value === undefined ? '-' : duration(value);
}

function backlogPace(jobs: Job[]): string {
  const backlog = jobs.filter((job) => !isScheduled(job) && job.attempts === 1);
  const start = Math.min(...backlog.map(({ locked_at }) => locked_at?.getTime() ?? 0));
  const end = Math.max(...backlog.map(({ updated_at }) => updated_at.getTime()));
  const pace = number(Math.round((backlog.length * 1000) / (end - start)));
  return `Of the backlog, ${counted(backlog.length, 'job')} needed one attempt and were done in ${duration(end - start)}, ${pace} a second: the pace of handlers that wait for servers, 10 at a time in each worker.`;
}

function effectsInWords(jobs: Job[], emails: Map<number, number>): string {
  const sent = [...emails.values()].reduce((total, count) => total + count, 0);
  const twice = [...emails].filter(([, count]) => count > 1).map(([id]) => id);
  const completed = jobs.filter(
    (job) => job.job_type === 'send_email' && emails.has(job.id),
  ).length;
  if (twice.length === 0) return `${counted(sent, 'email')} went out for as many jobs, none twice.`;
  return `${counted(sent, 'email')} went out for ${number(completed)} jobs: ${number(twice.length)} twice (${twice.length === 1 ? 'job' : 'jobs'} ${listed(twice)}), since the worker was killed after sending and before it could say so. Jobs run at least once: a handler whose effect must not happen twice makes it repeatable, as generate_report does.`;
}

/** Numbers to the right, as wide as need be; the head is bold. */
function table(rows: Row[]): Line[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => String(row[column]).length)),
  );
  return rows.map((row, index) =>
    row.map((cell, column) => {
      const width = widths[column] ?? 0;
      const text =
        column === 0 ? `  ${String(cell).padEnd(width)}` : `  ${String(cell).padStart(width)}`;
      return span(text, index === 0 ? 'bold' : 'plain');
    }),
  );
}
