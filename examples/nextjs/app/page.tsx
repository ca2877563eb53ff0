import Link from 'next/link';
import { redirect } from 'next/navigation';
import { JobQueueError } from 'pg-bg-job-queue';
import { Forms } from '@/components/forms';
import { JobList } from '@/components/job-list';
import { Pager } from '@/components/pager';
import { SetupHelp } from '@/components/setup-help';
import { StatusTabs } from '@/components/status-tabs';
import { type Filter, listJobs, pageSize, statuses } from '@/lib/jobs';
import { listHref } from '@/lib/list-href';
import styles from './page.module.css';

export default async function JobsPage({ searchParams }: PageProps<'/'>) {
  const query = await searchParams;
  const filter: Filter = statuses.find((status) => status === query.status) ?? 'all';
  const page = /^[1-9]\d{0,5}$/.test(String(query.page)) ? Number(query.page) : 1;
  return (
    <>
      <h1 className="visually-hidden">{filter === 'all' ? 'All' : filter} jobs</h1>
      <div className={styles.columns}>
        <section className={styles.jobs} aria-label="Jobs">
          <Jobs filter={filter} page={page} />
        </section>
        <aside id="add" aria-label="Add and cancel jobs">
          <Forms />
        </aside>
      </div>
    </>
  );
}

async function Jobs({ filter, page }: { filter: Filter; page: number }) {
  const listed = await listJobs(filter, page).catch((error: unknown) => {
    if (error instanceof JobQueueError) return error;
    throw error;
  });
  if (listed instanceof JobQueueError) {
    console.error(listed);
    return <SetupHelp error={listed} />;
  }
  const { jobs, counts } = listed;
  const pages = Math.max(1, Math.ceil(counts[filter] / pageSize));
  if (page > pages) redirect(listHref(filter, pages));
  return (
    <>
      <StatusTabs current={filter} counts={counts} />
      {jobs.length > 0 ? <JobList jobs={jobs} /> : <Empty filter={filter} />}
      <Pager filter={filter} page={page} pages={pages} />
    </>
  );
}

/** A hint for a page without jobs. */
function Empty({ filter }: { filter: Filter }) {
  if (filter === 'all') {
    return (
      <p className={styles.empty}>
        No jobs yet. <Link href="#add">Send an email</Link> to yourself, to flaky@example.com, which
        fails once, or to fail@example.com, which is given up after three attempts.
      </p>
    );
  }
  return (
    <p className={styles.empty}>
      No {filter} jobs.
      {filter === 'failed' && ' Send an email to fail@example.com to see one.'}
      {filter === 'cancelled' && ' Add a job with a delay, and cancel it while it waits.'}
    </p>
  );
}
