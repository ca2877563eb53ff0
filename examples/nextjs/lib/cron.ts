/**
 * Whether a request comes from the cron service, which knows the secret. Without a secret nobody may
 * call: `Bearer undefined` must not open the door.
 */
export function isFromCron(request: Request): boolean {
  const secret = process.env.CRON_SECRET;
  return Boolean(secret) && request.headers.get('authorization') === `Bearer ${secret}`;
}
