import { cancelJob, retryJob } from '@/app/jobs/actions';
import { canCancel, canRetry, type Job } from '@/lib/jobs';
import { ActionButton } from './action-button';

interface Props {
  job: Job;
  /** Whether to offer that for a job which is completed, too. */
  runAgain?: boolean;
}

/** What can be done with a job as it stands. */
export function JobActions({ job, runAgain = false }: Props) {
  const retry = job.status === 'completed' ? 'Run again' : 'Retry';
  return (
    <>
      {canRetry(job) && (runAgain || job.status !== 'completed') && (
        <ActionButton
          action={retryJob}
          id={job.id}
          label={retry}
          description={`${retry}: job ${job.id}`}
        />
      )}
      {canCancel(job) && (
        <ActionButton
          action={cancelJob}
          id={job.id}
          label="Cancel"
          description={`Cancel: job ${job.id}`}
          kind="danger"
        />
      )}
    </>
  );
}
