import Link from 'next/link';
import { type Filter, statuses } from '@/lib/jobs';
import { listHref } from '@/lib/list-href';
import styles from './status-tabs.module.css';

interface Props {
  current: Filter;
  counts: Record<Filter, number>;
}

/** The lists that there are, with how many jobs are in each. */
export function StatusTabs({ current, counts }: Props) {
  return (
    <>
      <nav aria-label="Jobs by status">
        <ul className={styles.tabs}>
          {(['all', ...statuses] as const).map((filter) => (
            <li key={filter}>
              <Link
                href={listHref(filter)}
                aria-current={filter === current ? 'page' : undefined}
                data-status={filter}
                className={styles.tab}
              >
                <span className={styles.count}>{counts[filter].toLocaleString('en')}</span>{' '}
                <span className={styles.name}>{filter}</span>
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {/* Only what changes is read out, and politely: the pages refresh by themselves. */}
      <p role="status" className="visually-hidden">
        {statuses.map((status) => `${counts[status]} ${status}`).join(', ')}
      </p>
    </>
  );
}
