/** Deleting old jobs in the background, while a processor of the queue works there. */

import { clearTimeout, setTimeout } from '../basics/timers.js';
import type { ParsedRetention } from '../config/retention.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { type CleanupPage, FIRST_PAGE, nextPage, type Old, type PageStart } from './operation.js';

/** Deletes a page of jobs, and answers what could not be deleted: see `tellRefused`. */
export type DeletePage = (
  old: Old,
  from: PageStart,
) => Promise<{ page: CleanupPage; refused: string | undefined }>;

/** The time until the first deletion, in milliseconds, and a random time that comes on top: workers start together. */
const FIRST = 1_000;
const FIRST_SPREAD = 4_000;
/** The same between two deletions. */
const INTERVAL = 540_000;
const INTERVAL_SPREAD = 120_000;
/** The pause between two pages, in milliseconds: other work goes first. */
const PAUSE = 100;

/** What a configuration has deleted. */
export function oldJobs(retention: ParsedRetention | null): Old[] {
  return Object.entries(retention ?? {}).flatMap(([status, daysToKeep]) =>
    daysToKeep === false ? [] : [{ status: status as Old['status'], daysToKeep }],
  );
}

export class OldJobs {
  private workers = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private underWay = false;
  private report: (error: JobQueueError) => void = () => {};
  /** What was reported when it was last tried: each only once in a row. */
  private told = new Set<string>();

  constructor(
    private readonly old: readonly Old[],
    private readonly deletePage: DeletePage,
    private readonly tellRefused: (
      result: string | undefined,
      tell: (error: JobQueueError) => void,
    ) => void,
  ) {}

  /** A processor begins to work in the background. */
  begin(report: (error: JobQueueError) => void): void {
    this.report = report;
    if (this.workers++ === 0 && this.old.length > 0) this.wait(FIRST, FIRST_SPREAD);
  }

  /** It has ended. */
  end(): void {
    if (--this.workers === 0) clearTimeout(this.timer);
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
    for (const old of this.old) await this.deleteAll(old, told);
    this.told = told;
    this.underWay = false;
    if (this.workers > 0) this.wait(INTERVAL, INTERVAL_SPREAD);
  }

  private async deleteAll(old: Old, told: Set<string>): Promise<void> {
    let from: PageStart | null = FIRST_PAGE;
    do {
      if (from.after !== null)
        await new Promise((resolve) => void setTimeout(resolve, PAUSE).unref());
      if (this.workers === 0) return;
      try {
        const { page, refused }: Awaited<ReturnType<DeletePage>> = await this.deletePage(old, from);
        this.tellRefused(refused, (error) => this.tell(error, told));
        from = nextPage(page);
      } catch (error) {
        // The queue may be closed by now.
        if (this.workers > 0 && error instanceof JobQueueError) this.tell(error, told);
        return;
      }
    } while (from !== null);
  }

  private tell(error: JobQueueError, told: Set<string>): void {
    if (!this.told.has(error.message) && !told.has(error.message)) this.report(error);
    told.add(error.message);
  }
}
