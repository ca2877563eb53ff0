'use client';

import { useRouter } from 'next/navigation';
import { useEffect, useState, useTransition } from 'react';
import styles from './live-refresh.module.css';

const interval = 1_500;

/** Has the server render the page again and again while somebody can see it and wants it. */
export function LiveRefresh() {
  const router = useRouter();
  const [isLive, setLive] = useState(true);
  const [isRefreshing, startRefresh] = useTransition();

  useEffect(() => {
    if (!isLive || isRefreshing) return;
    const refresh = () => {
      if (!document.hidden) startRefresh(() => router.refresh());
    };
    const timer = setTimeout(refresh, interval);
    // In a hidden tab no timer is set anew, so that showing it is what goes on.
    document.addEventListener('visibilitychange', refresh);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', refresh);
    };
  }, [isLive, isRefreshing, router]);

  return (
    <button
      type="button"
      className={styles.toggle}
      aria-pressed={isLive}
      onClick={() => setLive(!isLive)}
    >
      <span className={styles.dot} aria-hidden="true" />
      Live<span className="visually-hidden"> updates</span>
      <span className={styles.state}>{isLive ? 'on' : 'off'}</span>
    </button>
  );
}
