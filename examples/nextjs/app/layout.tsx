import type { Metadata } from 'next';
import Link from 'next/link';
import type { ReactNode } from 'react';
import { ActionButton } from '@/components/action-button';
import { LiveRefresh } from '@/components/live-refresh';
import { isDevelopment } from '@/lib/environment';
import { processNow } from './jobs/actions';
import './globals.css';
import styles from './layout.module.css';

export const metadata: Metadata = {
  title: { default: 'Jobs', template: '%s · Jobs' },
  description: 'Background jobs with pg-bg-job-queue',
};

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <a href="#content" className={styles.skip}>
          Skip to the content
        </a>
        <header className={styles.header}>
          <Link href="/" className={styles.brand}>
            <span className={styles.mark} aria-hidden="true" />
            Jobs
          </Link>
          <div className={styles.tools}>
            <Link href="/#add" className={`button ${styles.add}`}>
              Add<span> a job</span>
            </Link>
            <LiveRefresh />
            {isDevelopment && (
              <ActionButton action={processNow} label="Process now" kind="primary" />
            )}
          </div>
        </header>
        <main id="content" className={styles.main} tabIndex={-1}>
          {children}
        </main>
      </body>
    </html>
  );
}
