import { absoluteTime, relativeTime } from '@/lib/format';

/** How long ago or ahead; the exact time on hovering. */
export function RelativeTime({ date }: { date: Date }) {
  return (
    <time dateTime={date.toISOString()} title={absoluteTime(date)}>
      {relativeTime(date)}
    </time>
  );
}

/** Both, for where there is room. */
export function FullTime({ date }: { date: Date }) {
  return (
    <time dateTime={date.toISOString()}>
      {absoluteTime(date)} <span className="muted">({relativeTime(date)})</span>
    </time>
  );
}
