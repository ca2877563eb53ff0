/** How far the jobs are, asked of their table: `job_queue` is there to be read. */
import type { Pool } from 'pg';
import type { JobPayloadMap } from './jobs.js';

/** A job's status, told apart a little further. */
export const states = [
  'completed',
  'processing',
  'due',
  'scheduled',
  'retrying',
  'failed',
] as const;

export type JobCounts = Record<(typeof states)[number], number>;

export interface WorkerView {
  name: string;
  killed: boolean;
  /** What it holds, by type. */
  running: Record<keyof JobPayloadMap, number>;
  completed: number;
  /** How long the last of what it holds is still its own. */
  leaseMs: number | null;
}

export interface Observation {
  counts: JobCounts;
  workers: WorkerView[];
}

interface Row {
  state: keyof JobCounts;
  job_type: keyof JobPayloadMap;
  locked_by: string | null;
  jobs: number;
  lease_ms: number | null;
}

export async function observe(
  pool: Pool,
  table: string,
  workers: readonly { name: string; killed: boolean }[],
): Promise<Observation> {
  const { rows } = await pool.query<Row>(`
    select case
        when status = 'pending' and run_at > now() then 'scheduled'
        when status = 'pending' then 'due'
        when status = 'failed' and next_attempt_at is not null then 'retrying'
        else status
      end as state,
      job_type, locked_by, count(*)::int as jobs,
      (extract(epoch from max(lease_expires_at) - now()) * 1000)::float8 as lease_ms
    from ${table} group by 1, 2, 3`);
  return {
    counts: Object.fromEntries(
      states.map((state) => [state, sum(rows.filter((row) => row.state === state))]),
    ) as JobCounts,
    workers: workers.map(({ name, killed }) => {
      const own = rows.filter((row) => row.locked_by === name);
      const held = own.filter((row) => row.state === 'processing');
      return {
        name,
        killed,
        running: {
          send_email: sum(held.filter((row) => row.job_type === 'send_email')),
          generate_report: sum(held.filter((row) => row.job_type === 'generate_report')),
        },
        completed: sum(own.filter((row) => row.state === 'completed')),
        leaseMs: Math.max(...held.map((row) => row.lease_ms ?? 0)),
      };
    }),
  };
}

const sum = (rows: Row[]) => rows.reduce((total, { jobs }) => total + jobs, 0);

/** No job will run any more. */
export function isOver({ counts }: Observation, total: number): boolean {
  return counts.completed + counts.failed === total;
}
