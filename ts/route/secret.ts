/** Whether a request carries the secret of its route. */

import { crypto } from '../basics/lazy.js';

let toldOfMissingSecret = false;

/**
 * Compares the header `Authorization` with the secret. Hashes both first: the hashes are of one length, and comparing
 * them takes the same time for every header.
 */
export function isAuthorized(request: Request, secret = process.env.CRON_SECRET): boolean {
  if (!secret) {
    if (!toldOfMissingSecret) {
      console.error(
        'pg-bg-job-queue: createRouteHandler refuses every request, because neither the option secret ' +
          'nor the environment variable CRON_SECRET is set',
      );
    }
    toldOfMissingSecret = true;
    return false;
  }
  const { createHash, timingSafeEqual } = crypto();
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const given = request.headers.get('authorization') ?? '';
  return timingSafeEqual(digest(given), digest(`Bearer ${secret}`));
}
