import { setTimeout as delay } from 'node:timers/promises';
import { currentJob, RetryAfter, Unrecoverable } from 'pg-bg-job-queue';

/**
 * A mail service that sends nothing. Three addresses show what failures look like: `fail@…` is always refused, `flaky@…`
 * is refused at the first attempt, until a time that the service names, and `gone@…` is not worth another attempt.
 */
export async function sendEmail(to: string, subject: string, body: string): Promise<void> {
  const { id, attempts, signal } = currentJob();
  await delay(400, undefined, { signal });
  const mailbox = to.split('@')[0];
  if (mailbox === 'fail') throw new Error('421: the service is not available');
  if (mailbox === 'flaky' && attempts === 1) {
    throw new RetryAfter(120_000, '451: try again later');
  }
  if (mailbox === 'gone') throw new Unrecoverable('550: the mailbox does not exist');
  // A real service would be given `job-${id}` as its idempotency key: a job may run twice.
  console.log(`[email] job ${id}: sent, ${subject.length + body.length} characters`);
}
