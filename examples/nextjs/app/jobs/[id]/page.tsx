import type { Metadata } from 'next';
import Link from 'next/link';
import { notFound } from 'next/navigation';
import { JobQueueError } from 'pg-bg-job-queue';
import { cache } from 'react';
import { ErrorHistory } from '@/components/error-history';
import { JobActions } from '@/components/job-actions';
import { JobFields } from '@/components/job-fields';
import { JobMoment } from '@/components/job-moment';
import { SetupHelp } from '@/components/setup-help';
import { StatusBadge } from '@/components/status-badge';
import { jobTypes, summarize } from '@/lib/jobs';
import { getJobQueue } from '@/lib/queue';
import styles from './page.module.css';

/** Once a request, though the title and the page both ask. */
const findJob = cache(async (id: string) => {
  try {
    const queue = await getJobQueue();
    return await queue.getJob(id);
  } catch (error) {
    if (!(error instanceof JobQueueError)) throw error;
    // A text that is no id names no job.
    return error.code === 'INVALID_ARGUMENT' ? null : error;
  }
});

export async function generateMetadata({ params }: PageProps<'/jobs/[id]'>): Promise<Metadata> {
  const job = await findJob((await params).id);
  return job === null || job instanceof JobQueueError
    ? {}
    : { title: `${job.job_type} #${job.id} is ${job.status}` };
}

export default async function JobPage({ params }: PageProps<'/jobs/[id]'>) {
  const job = await findJob((await params).id);
  if (job === null) notFound();
  if (job instanceof JobQueueError) return <SetupHelp error={job} />;
  return (
    <article className={styles.job}>
      <p>
        <Link href="/">← All jobs</Link>
      </p>
      <header className={styles.header}>
        <div>
          <h1>
            {jobTypes[job.job_type] ?? job.job_type} <span className="number">#{job.id}</span>
          </h1>
          <p className="muted">{summarize(job)}</p>
        </div>
        <div className={styles.actions}>
          <JobActions job={job} runAgain />
        </div>
      </header>
      <p role="status" className={styles.state}>
        <StatusBadge status={job.status} />{' '}
        <span className="muted">
          <JobMoment job={job} />
        </span>
      </p>
      <div className={styles.columns}>
        <div className={styles.column}>
          {job.error_history.length > 0 && (
            <section aria-labelledby="errors">
              <h2 id="errors">Error history</h2>
              <ErrorHistory entries={job.error_history} />
            </section>
          )}
          <section aria-labelledby="payload">
            <h2 id="payload">Payload</h2>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by key */}
            <pre tabIndex={0}>{JSON.stringify(job.payload, null, 2)}</pre>
          </section>
        </div>
        <section aria-labelledby="fields">
          <h2 id="fields">Fields</h2>
          <JobFields job={job} />
        </section>
      </div>
    </article>
  );
}
