import type { ReactNode } from 'react';
import type { Job } from '@/lib/jobs';
import styles from './job-fields.module.css';
import { FullTime } from './time';

/** Every column of a job but its payload and its errors, under the names of the table. */
export function JobFields({ job }: { job: Job }) {
  const fields: Record<string, ReactNode> = {
    id: job.id,
    job_type: job.job_type,
    status: job.status,
    priority: job.priority,
    attempts: job.attempts,
    max_attempts: job.max_attempts,
    run_at: moment(job.run_at),
    next_attempt_at: moment(job.next_attempt_at),
    locked_at: moment(job.locked_at),
    locked_by: job.locked_by,
    pending_reason: job.pending_reason,
    created_at: moment(job.created_at),
    updated_at: moment(job.updated_at),
  };
  return (
    <dl className={styles.fields}>
      {Object.entries(fields).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? <span className="muted">none</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

const moment = (date: Date | null) => date && <FullTime date={date} />;
