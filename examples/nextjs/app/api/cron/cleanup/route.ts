import { isFromCron } from '@/lib/cron';
import { getJobQueue } from '@/lib/queue';

/** Deletes jobs that were completed over 30 days ago. Call it every day. */
export async function GET(request: Request) {
  if (!isFromCron(request)) return Response.json({ message: 'Unauthorized' }, { status: 401 });
  try {
    const queue = await getJobQueue();
    const deleted = await queue.cleanupOldJobs(30);
    return Response.json({ message: 'Old jobs cleaned up', deleted });
  } catch (error) {
    console.error('Error cleaning up jobs:', error);
    return Response.json({ message: 'Failed to clean up jobs' }, { status: 500 });
  }
}
