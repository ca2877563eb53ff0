import type { Pool } from 'pg';
import type { Member } from './crew.js';
import type { Display } from './display.js';
import type { Observation } from './observe.js';
import { counted, duration, listed } from './text.js';

/** Early, since a lease is for 30 seconds and the demo for less than a minute. */
const afterCompleted = 150;
const worthKilling = 6;
/** What the worker had sent before it died may still reach the database. */
const lastWordsMs = 300;

interface TakenJob {
  id: number;
  locked_by: string;
}

/** Kills a worker in the midst of its jobs, and watches what becomes of those. */
export class Accident {
  /** What the worker held when it died. */
  held: number[] = [];
  #waiting: number[] = [];
  #killedAt = 0;

  constructor(
    private readonly victim: Member,
    private readonly pool: Pool,
    private readonly table: string,
    private readonly display: Display,
  ) {}

  async look(seen: Observation): Promise<void> {
    if (!this.victim.killed) {
      if (this.#isTime(seen)) await this.#kill();
    } else if (this.#waiting.length > 0) {
      await this.#watch();
    }
  }

  #isTime({ counts, workers }: Observation): boolean {
    const victim = workers.find(({ name }) => name === this.victim.name);
    const running = victim ? victim.running.send_email + victim.running.generate_report : 0;
    return counts.completed >= afterCompleted && running >= worthKilling;
  }

  async #kill(): Promise<void> {
    const { name, pid } = this.victim;
    await this.victim.kill();
    this.#killedAt = performance.now();
    this.display.say(`kill -9 ${pid}: ${name} is gone, in the midst of its jobs.`, 'red');
    await new Promise((resolve) => setTimeout(resolve, lastWordsMs));

    const { rows } = await this.pool.query<{ id: number; lease_ms: number }>(
      `select id::int, (extract(epoch from lease_expires_at - now()) * 1000)::float8 as lease_ms
      from ${this.table} where locked_by = $1 and status = 'processing' order by id`,
      [name],
    );
    this.held = rows.map(({ id }) => id);
    this.#waiting = this.held;
    const lease = duration(Math.max(0, ...rows.map(({ lease_ms }) => lease_ms)));
    this.display.say(
      `In the table it still holds ${counted(rows.length, 'job')}: ${listed(this.held)}. Nobody will report it; its leases end by themselves, the last in ${lease}, and then any worker may take the jobs over.`,
    );
  }

  async #watch(): Promise<void> {
    const { rows: taken } = await this.pool.query<TakenJob>(
      `select id::int, locked_by from ${this.table}
      where id = any ($1::bigint[]) and locked_by <> $2 order by id`,
      [this.#waiting, this.victim.name],
    );
    if (taken.length === 0) return;
    this.#waiting = this.#waiting.filter((id) => !taken.some((job) => job.id === id));
    const since = duration(performance.now() - this.#killedAt);
    const rest = this.#waiting.length > 0 ? ` ${this.#waiting.length} to go.` : '';
    this.display.say(
      `${since} after the kill, leases have ended: ${describe(taken)}.${rest}`,
      'green',
    );
  }
}

/** "worker-1 took over 4, 9; worker-3 took over 12" */
function describe(taken: TakenJob[]): string {
  const workers = [...new Set(taken.map(({ locked_by }) => locked_by))].sort();
  return workers
    .map((worker) => {
      const jobs = taken.filter(({ locked_by }) => locked_by === worker);
      return `${worker} took over ${jobs.map(({ id }) => id).join(', ')}`;
    })
    .join('; ');
}
