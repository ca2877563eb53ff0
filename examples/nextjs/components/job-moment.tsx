import type { ReactNode } from 'react';
import type { Job } from '@/lib/jobs';
import { RelativeTime } from './time';

/** The one moment that matters of a job in its status. */
export function JobMoment({ job }: { job: Job }): ReactNode {
  switch (job.status) {
    case 'pending':
      return (
        <>
          due <RelativeTime date={job.run_at ?? job.created_at} />
        </>
      );
    case 'processing':
      return (
        <>
          started <RelativeTime date={job.locked_at ?? job.updated_at} />
        </>
      );
    case 'failed':
      if (job.next_attempt_at) {
        return (
          <>
            retries <RelativeTime date={job.next_attempt_at} />
          </>
        );
      }
      return (
        <>
          gave up <RelativeTime date={job.updated_at} />
        </>
      );
    default:
      return <RelativeTime date={job.updated_at} />;
  }
}
