/** What a table holds beside the jobs that a worker is after. */
import { query } from '../database.js';
import { futurePriority, jobType } from '../peers/peer.js';

export type Surroundings = Partial<Record<'future' | 'other' | 'finished', number>>;

/** Millions of rows take a minute or two. */
export async function surround(url: string, counts: Surroundings): Promise<void> {
  const { future = 0, other = 0, finished = 0 } = counts;
  const payload = `'{"to": "someone@example.com"}'`;
  // Jobs of the same type and a higher priority, which are due in days.
  await query(
    url,
    `insert into job_queue (job_type, payload, priority, run_at)
     select $1, ${payload}, ${futurePriority}, now() + interval '1 day' + n * interval '1 second'
     from generate_series(1, $2::int) n`,
    [jobType, future],
  );
  // Ready jobs of another type, and of a higher priority.
  await query(
    url,
    `insert into job_queue (job_type, payload, priority)
     select 'another_type', ${payload}, 5 from generate_series(1, $1::int)`,
    [other],
  );
  await query(
    url,
    `insert into job_queue (job_type, payload, status, attempts, created_at, updated_at, locked_at)
     select $1, ${payload}, 'completed', 1, at, at, at
     from generate_series(1, $2::int) n, lateral (select now() - n * interval '1 second') t (at)`,
    [jobType, finished],
  );
  await query(url, 'vacuum analyze job_queue');
  await query(url, 'checkpoint');
}
