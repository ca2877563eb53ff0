import type { JobErrorEntry } from 'pg-bg-job-queue';
import styles from './error-history.module.css';
import { FullTime } from './time';

/** The failed attempts of a job, the last one first. */
export function ErrorHistory({ entries }: { entries: JobErrorEntry[] }) {
  return (
    <ol className={styles.entries}>
      {entries.toReversed().map((entry) => (
        <li key={`${entry.attempt} ${entry.timestamp}`}>
          <p className={styles.message}>{entry.message}</p>
          <p className={styles.meta}>
            {entry.attempt !== undefined && `Attempt ${entry.attempt}, `}
            <FullTime date={new Date(entry.timestamp)} />
          </p>
          {entry.stack && (
            <details>
              <summary>Stack</summary>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by key */}
              <pre tabIndex={0}>{entry.stack}</pre>
            </details>
          )}
        </li>
      ))}
    </ol>
  );
}
