import type { Job } from '@/lib/jobs';
import styles from './job-fields.module.css';
import { FullTime } from './time';

/** Every column of a job but its payload and its errors, under the names of the table. */
export function JobFields({ job }: { job: Job }) {
  const { payload: _, error_history: __, ...columns } = job;
  return (
    <dl className={styles.fields}>
      {Object.entries(columns).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <Value value={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ value }: { value: string | number | Date | null }) {
  if (value === null) return <span className="muted">none</span>;
  return value instanceof Date ? <FullTime date={value} /> : value;
}
