/** The package that this one takes the place of: the database that it left, and its statements. */
import { migrations } from './cli.js';
import { createDatabase, type TestDatabase } from './database.js';
import { nodePgMigrate } from './node-pg-migrate.js';

/** A database as the original left it: one migration, recorded in `pgmigrations`. */
export async function originalDatabase(options?: Parameters<typeof nodePgMigrate>[1]) {
  const database = await createDatabase({ migrated: false });
  await nodePgMigrate(database.directUrl, { file: migrations[0], ...options });
  return database;
}

/** Its statements, on the columns it knows. */
export class OriginalCode {
  constructor(private readonly database: TestDatabase) {}

  async add(payload: string): Promise<void> {
    await this.database.query(
      `insert into job_queue (job_type, payload, max_attempts, priority, run_at)
      values ($1, $2, $3, $4, coalesce($5, current_timestamp)) returning id`,
      ['task', JSON.stringify(payload), 3, 0, null],
    );
  }

  claim(limit: number): Promise<{ id: number; payload: string }[]> {
    return this.database.query(
      `update job_queue set status = 'processing', locked_at = now(), locked_by = $1,
        attempts = attempts + 1, updated_at = now(), pending_reason = null
      where id in (
        select id from job_queue
        where (status = 'pending' or (status = 'failed' and next_attempt_at <= now()))
          and attempts < max_attempts and run_at <= now()
        order by priority desc, created_at asc limit $2
        for update skip locked
      ) returning *`,
      ['original', limit],
    );
  }

  async complete(id: number): Promise<void> {
    await this.database.query(
      `update job_queue set status = 'completed', updated_at = now() where id = $1`,
      [id],
    );
  }

  async fail(id: number, message: string): Promise<void> {
    await this.database.query(
      `update job_queue set status = 'failed', updated_at = now(),
        next_attempt_at = case when attempts < max_attempts
          then now() + (power(2, attempts) * interval '1 minute') else null end,
        error_history = coalesce(error_history, '[]'::jsonb) || $2::jsonb
      where id = $1`,
      [id, JSON.stringify([{ message, timestamp: new Date() }])],
    );
  }

  async reclaim(): Promise<void> {
    await this.database.query(
      `update job_queue set status = 'pending', locked_at = null, locked_by = null,
        updated_at = now()
      where status = 'processing' and locked_at < now() - interval '10 minutes'`,
    );
  }

  /** Works until nothing is left, and tells what ran. */
  async work(whileWorking = async () => {}): Promise<string[]> {
    const ran: string[] = [];
    for (let jobs = await this.claim(3); jobs.length > 0; jobs = await this.claim(3)) {
      for (const { id, payload } of jobs) {
        ran.push(payload);
        await this.complete(id);
      }
      await whileWorking();
    }
    return ran;
  }
}
