// What `currentJob()` gives: the job that the calling handler runs.

import type { DatabaseClient } from '../clients/recognise.js';

/** What a handler can ask of the job it runs: see `currentJob`. Its methods are bound: they work apart from it. */
export interface JobContext {
  readonly id: number;
  readonly job_type: string;
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: Date | null;
  /**
   * Aborts when the run should end. The reason is a `JobQueueError`: `TIMEOUT` when its time is up,
   * `CANCELLED` when the job is to be cancelled, `DEADLINE` when the time of its route is up, `LEASE_LOST` when the
   * run no longer owns the job.
   */
  readonly signal: AbortSignal;
  /**
   * Lets this run go on for `ms` milliseconds from now, 1 to 2,147,483,647, where its time is limited and
   * would end sooner. Throws `INVALID_ARGUMENT`.
   */
  extendTimeout(ms: number): void;
  /**
   * Completes the job in the caller's transaction. If that commits, the job is completed, together with
   * everything else that the transaction wrote. If it rolls back, the job goes on. The handler must await the commit or
   * rollback before it ends. `db` must be the client of the transaction itself: on any other connection, the job is
   * completed at once, and stays so if your transaction rolls back. Rejects with `LEASE_LOST` if this run no longer owns
   * the job, and with `INVALID_ARGUMENT` for a pool or a root client, where it can tell.
   */
  completeIn(db: DatabaseClient): Promise<void>;
}
