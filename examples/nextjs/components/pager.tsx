import Link from 'next/link';
import type { Filter } from '@/lib/jobs';
import { listHref } from '@/lib/list-href';
import styles from './pager.module.css';

export function Pager({ filter, page, pages }: { filter: Filter; page: number; pages: number }) {
  if (pages <= 1) return null;
  return (
    <nav className={styles.pager} aria-label="Pages">
      {page > 1 && (
        <Link href={listHref(filter, page - 1)} rel="prev" className="button">
          ← Newer
        </Link>
      )}
      <span className={styles.position}>
        Page {page} of {pages}
      </span>
      {page < pages && (
        <Link href={listHref(filter, page + 1)} rel="next" className="button">
          Older →
        </Link>
      )}
    </nav>
  );
}
