/** Deleting old jobs in the background, while a processor of the queue works there. */

import { clearTimeout, now, setTimeout } from '../basics/timers.js';
import type { ParsedRetention } from '../config/retention.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { type CleanupPage, FIRST_PAGE, nextPage, type Old, type PageStart } from './operation.js';

/** Deletes a page of jobs, within `limitMs` milliseconds, and answers what could not be deleted: see `tellRefused`. */
export type DeletePage = (
  old: Old,
  from: PageStart,
  limitMs: number,
) => Promise<{ page: CleanupPage; refused: string | undefined }>;

/** The time until the first deletion, in milliseconds, and a random time that comes on top: workers start together. */
const FIRST = 1_000;
const FIRST_SPREAD = 4_000;
/** The same between two deletions. */
const INTERVAL = 540_000;
const INTERVAL_SPREAD = 120_000;
/** The pause between two pages, in milliseconds: other work goes first. */
const PAUSE = 100;
/** How long a page may take, in milliseconds: where there is one connection, all other work waits for it. */
const LONGEST = 1_000;
/** How many jobs the first page looks at. */
const FIRST_ROWS = 1_000;
/** A page that took less time is followed by a larger one. */
const SHORT = 250;
/** How many jobs are passed over in a row that take longer each. */
const MOST_SLOW = 5;
/** More days than any job is old: a page that keeps its jobs for as long only tells where it ends. */
const NEVER = 1_000_000;

/** What a configuration has deleted. */
export function oldJobs(retention: ParsedRetention | null): Old[] {
  return Object.entries(retention ?? {}).flatMap(([status, daysToKeep]) =>
    daysToKeep === false ? [] : [{ status: status as Old['status'], daysToKeep }],
  );
}

export class OldJobs {
  /** Of each processor that works in the background, how it tells of an error. */
  private readonly workers = new Set<(error: JobQueueError) => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private underWay = false;
  /** What was reported when it was last tried: each only once in a row. */
  private told = new Set<string>();
  /** How many jobs a page looks at: so many that it takes no longer than it may. */
  private rows = FIRST_ROWS;

  constructor(
    private readonly old: readonly Old[],
    private readonly deletePage: DeletePage,
    private readonly tellRefused: (
      result: string | undefined,
      tell: (error: JobQueueError) => void,
    ) => void,
  ) {}

  /** A processor begins to work in the background; returns how it says that it has ended. */
  begin(report: (error: JobQueueError) => void): () => void {
    if (this.workers.size === 0 && this.old.length > 0) this.wait(FIRST, FIRST_SPREAD);
    this.workers.add(report);
    return () => {
      this.workers.delete(report);
      if (this.workers.size === 0) clearTimeout(this.timer);
    };
  }

  private wait(ms: number, spread: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.delete(), ms + Math.random() * spread);
    this.timer.unref();
  }

  private async delete(): Promise<void> {
    if (this.underWay) return;
    this.underWay = true;
    const told = new Set<string>();
    for (const old of this.old) {
      try {
        await this.deleteAll(old, told);
      } catch (error) {
        // The queue may be closed by now.
        if (this.workers.size > 0 && error instanceof JobQueueError) this.tell(error, told);
      }
    }
    this.told = told;
    this.underWay = false;
    if (this.workers.size > 0) this.wait(INTERVAL, INTERVAL_SPREAD);
  }

  private async deleteAll(old: Old, told: Set<string>): Promise<void> {
    let slow = 0;
    for (let from: PageStart | null = FIRST_PAGE; from !== null; ) {
      const start: PageStart = { ...from, rows: this.rows };
      const begun = now();
      const tookTooLong = () => now() - begun >= LONGEST;
      try {
        const { page, refused } = await this.deletePage(old, start, LONGEST);
        this.tellRefused(refused, (error) => this.tell(error, told));
        from = nextPage(page);
        slow = 0;
        if (now() - begun < SHORT) this.rows = Math.min(this.rows * 2, FIRST_PAGE.rows);
      } catch (error) {
        if (!tookTooLong() || !(error instanceof JobQueueError)) throw error;
        if (this.rows > 1) {
          this.rows = Math.ceil(this.rows / 4);
        } else {
          // If the same page is answered in time where it deletes nothing, this one job is slow to delete, as by a
          // trigger: the others need not wait for it. Else the database is away, or slow, which its error says.
          const kept = { ...old, daysToKeep: NEVER };
          from = nextPage((await this.deletePage(kept, start, LONGEST)).page);
          this.tell(slowToDelete(old, error), told);
          if (++slow === MOST_SLOW) return;
        }
      }
      await new Promise((resolve) => void setTimeout(resolve, PAUSE).unref());
      if (this.workers.size === 0) return;
    }
  }

  private tell(error: JobQueueError, told: Set<string>): void {
    const isNew = !this.told.has(error.message) && !told.has(error.message);
    const [report] = this.workers;
    if (isNew) report?.(error);
    told.add(error.message);
  }
}

function slowToDelete({ status }: Old, { sqlState }: JobQueueError): JobQueueError {
  return new JobQueueError(
    'DATABASE_ERROR',
    `retention: to delete an old job that is ${status} takes longer than ${LONGEST} ms, because of a trigger or of a ` +
      'foreign key without an index. It is left for now',
    { sqlState },
  );
}
