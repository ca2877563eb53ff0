import { setTimeout as delay } from 'node:timers/promises';
import { currentJob } from 'pg-bg-job-queue';

const sections = ['orders', 'customers', 'revenue', 'forecast'];

/** Takes some seconds, and stops early if this run no longer owns its job. */
export async function generateReport(reportId: string, userId: string): Promise<void> {
  const { id, signal } = currentJob();
  for (const section of sections) {
    // Rejects with the signal's reason, which ends the handler.
    await delay(1_000, undefined, { signal });
    console.log(`[report] job ${id}: ${section} done`);
  }
  console.log(`[report] job ${id}: report ${reportId} is ready for user ${userId}`);
}
