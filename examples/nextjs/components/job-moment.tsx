import type { ReactNode } from 'react';
import type { Job } from '@/lib/jobs';
import { RelativeTime } from './time';

/** The one moment that matters of a job in its status. */
export function JobMoment({ job }: { job: Job }): ReactNode {
  switch (job.status) {
    case 'pending':
      if (job.run_at && job.run_at.getTime() > Date.now()) {
        return (
          <>
            due <RelativeTime date={job.run_at} />
          </>
        );
      }
      return (
        <>
          waiting since <RelativeTime date={job.run_at ?? job.created_at} />
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
            tries again <RelativeTime date={job.next_attempt_at} />
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
