import { isFromCron } from '@/lib/cron';
import { getJobQueue } from '@/lib/queue';

/**
 * Puts back jobs that something other than this package left as `processing` for over ten minutes.
 * The jobs of its own dead processors come back without a call. Call it every ten minutes.
 */
export async function GET(request: Request) {
  if (!isFromCron(request)) return Response.json({ message: 'Unauthorized' }, { status: 401 });
  try {
    const queue = await getJobQueue();
    const reclaimed = await queue.reclaimStuckJobs(10);
    return Response.json({ message: 'Stuck jobs reclaimed', reclaimed });
  } catch (error) {
    console.error('Error reclaiming jobs:', error);
    return Response.json({ message: 'Failed to reclaim jobs' }, { status: 500 });
  }
}
