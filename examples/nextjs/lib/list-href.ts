import type { Filter } from './jobs';

/** The address of a page of a list. */
export function listHref(filter: Filter, page = 1): string {
  const query = new URLSearchParams();
  if (filter !== 'all') query.set('status', filter);
  if (page > 1) query.set('page', String(page));
  return query.size > 0 ? `/?${query}` : '/';
}
