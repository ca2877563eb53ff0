const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** As “in 12 seconds” or “3 hours ago”: minutes from one minute on, hours and days from two on. */
export function relativeTime(date: Date, now = Date.now()): string {
  const seconds = Math.round((date.getTime() - now) / 1_000);
  if (Math.abs(seconds) < 60) return relative.format(seconds, 'second');
  if (Math.abs(seconds) < 2 * 3_600) return relative.format(Math.round(seconds / 60), 'minute');
  if (Math.abs(seconds) < 2 * 86_400) return relative.format(Math.round(seconds / 3_600), 'hour');
  return relative.format(Math.round(seconds / 86_400), 'day');
}

/** As “2026-06-01 12:00:00 UTC”: the same for every reader, since the server writes it. */
export const absoluteTime = (date: Date) =>
  `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
