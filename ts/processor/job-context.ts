// The job that a handler runs, as `currentJob()` gives it.

import type { DatabaseClient } from '../clients/recognise.js';

/** The columns of its job that a handler sees: those that `src/job/claimed.rs` lists for a claim. */
export interface SeenColumns {
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: Date | null;
}

/** The job that a handler runs: see `currentJob`. Its methods are bound and can be passed on. */
export interface JobContext extends SeenColumns {
  readonly id: number;
  readonly job_type: string;
  /**
   * Aborts when the run should end. Its reason is a `JobQueueError`, whose code is `TIMEOUT` if the job's time is up,
   * `CANCELLED` if the job is to be cancelled, `DEADLINE` if the time of the route is up, and `LEASE_LOST` if the run
   * no longer owns the job.
   */
  readonly signal: AbortSignal;
  /**
   * Lets this run go on for at least `ms` milliseconds from now: 1 to 2,147,483,647. Does nothing if the run has no
   * time limit, or if its time ends later anyway. Throws `INVALID_ARGUMENT`.
   */
  extendTimeout(ms: number): void;
  /**
   * Puts the job off until `when`: a number of milliseconds from now, 0 to 8,640,000,000,000,000, or a `Date`; a second
   * from now at the least. The job is pending again when the handler ends, and the attempt is not counted. Nothing is
   * interrupted: return after the call. The last call counts.
   *
   * If the handler throws, the attempt has failed and the job is not put off. A cancellation, the end of the run's time,
   * and a `completeIn` that commits go before it. Throws `INVALID_ARGUMENT`.
   */
  snooze(when: number | Date): void;
  /**
   * Completes the job in your transaction. If the transaction commits, the job is completed together with everything
   * else that the transaction wrote. If it rolls back, the job goes on. The handler must await the commit or rollback
   * before it ends.
   *
   * `db` must be the client of the transaction itself: on any other connection, the job is completed at once, and
   * stays so if your transaction rolls back. Rejects with `INVALID_ARGUMENT` if `db` is recognised as a pool or a
   * root client, and with `LEASE_LOST` if this run no longer owns the job.
   */
  completeIn(db: DatabaseClient): Promise<void>;
}
