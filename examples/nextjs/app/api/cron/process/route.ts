import { isFromCron } from '@/lib/cron';
import { jobHandlers } from '@/lib/job-handlers';
import { getJobQueue } from '@/lib/queue';

/** How long the platform lets a batch run, in seconds. */
export const maxDuration = 60;

/** Runs one batch of the jobs that are due. Call it every minute. */
export async function GET(request: Request) {
  if (!isFromCron(request)) return Response.json({ message: 'Unauthorized' }, { status: 401 });
  try {
    const queue = await getJobQueue();
    const processor = queue.createProcessor(jobHandlers, {
      workerId: `cron-${Date.now()}`,
      batchSize: 10, // the most jobs in this invocation
      concurrency: 3, // the most at a time
    });
    const processed = await processor.start();
    return Response.json({ message: 'Job processing completed', processed });
  } catch (error) {
    console.error('Error processing jobs:', error);
    return Response.json({ message: 'Failed to process jobs' }, { status: 500 });
  }
}
