import type { JobQueueError } from 'pg-bg-job-queue';
import { isDevelopment } from '@/lib/environment';
import styles from './setup-help.module.css';

const advice: Partial<Record<JobQueueError['code'], string>> = {
  INVALID_CONFIG: 'Set PG_BG_JOB_QUEUE_DATABASE to the connection string of your Postgres.',
  CONNECTION_FAILED: 'Is Postgres running, and is PG_BG_JOB_QUEUE_DATABASE right?',
  NOT_MIGRATED: 'Run “npm run migrate-pg-bg-job-queue” once.',
};

/** In place of a list: what is wrong with the queue, and what to do. */
export function SetupHelp({ error }: { error: JobQueueError }) {
  return (
    <section className={styles.help} role="alert">
      <h2>The queue cannot be reached</h2>
      {isDevelopment ? (
        <>
          <p>{advice[error.code]}</p>
          <pre>{error.message}</pre>
        </>
      ) : (
        <p>Please try again in a moment.</p>
      )}
    </section>
  );
}
