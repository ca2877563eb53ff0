import Link from 'next/link';
import { type Job, jobTypes, lastError, summarize } from '@/lib/jobs';
import { JobActions } from './job-actions';
import styles from './job-list.module.css';
import { JobMoment } from './job-moment';
import { StatusBadge } from './status-badge';

export function JobList({ jobs }: { jobs: Job[] }) {
  return (
    <ul className={styles.list}>
      {jobs.map((job) => (
        <li key={job.id} className={styles.job} data-job={job.id}>
          <div className={styles.what}>
            <h3>
              <Link href={`/jobs/${job.id}`}>
                {jobTypes[job.job_type] ?? job.job_type} <span className="number">#{job.id}</span>
              </Link>
            </h3>
            <p className={styles.summary}>{summarize(job)}</p>
            {job.status === 'failed' && <p className={styles.reason}>{lastError(job)}</p>}
          </div>
          <div className={styles.state}>
            <StatusBadge status={job.status} />
            <p className={styles.meta}>
              <JobMoment job={job} />
            </p>
          </div>
          <ul className={styles.facts}>
            {job.status !== 'completed' && job.attempts > 0 && (
              <li>
                attempt {job.attempts} of {job.max_attempts}
              </li>
            )}
            {job.priority !== 0 && <li>priority {job.priority}</li>}
          </ul>
          <div className={styles.actions}>
            <JobActions job={job} />
          </div>
        </li>
      ))}
    </ul>
  );
}
