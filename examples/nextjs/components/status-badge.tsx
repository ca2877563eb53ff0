import type { JobStatus } from 'pg-bg-job-queue';
import styles from './status-badge.module.css';

export function StatusBadge({ status }: { status: JobStatus }) {
  return (
    <span className={styles.badge} data-status={status}>
      {status}
    </span>
  );
}
