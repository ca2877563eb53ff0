import { setTimeout as delay } from 'node:timers/promises';
import { currentJob } from 'pg-bg-job-queue';

/**
 * A mail service that sends nothing. Two addresses show what failures look like: `fail@…` is always
 * refused, `flaky@…` is refused at the first attempt.
 */
export async function sendEmail(to: string, subject: string, body: string): Promise<void> {
  const { id, attempts, signal } = currentJob();
  await delay(400, undefined, { signal });
  const mailbox = to.split('@')[0];
  if (mailbox === 'fail') throw new Error('550: the mailbox does not exist');
  if (mailbox === 'flaky' && attempts === 1) throw new Error('451: try again later');
  // A real service would be given `job-${id}` as its idempotency key: a job may run twice.
  console.log(`[email] job ${id}: sent, ${subject.length + body.length} characters`);
}
