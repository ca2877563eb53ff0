/** The queue that `initJobQueue` opens: its methods. */

import { callSync, type NativeQueue, native } from '../addon/native.js';
import { bindMethods } from '../basics/bound.js';
import { type Log, openLog } from '../basics/log.js';
import { inLine } from '../basics/text.js';
import { within } from '../basics/within.js';
import { refuseArgument } from '../checks/given.js';
import type { Client } from '../clients/client.js';
import type { ResolvedConfig } from '../config/config.js';
import { JobQueueError } from '../errors/job-queue-error.js';
import { parseJob } from '../job/new-job.js';
import { parseJobs } from '../job/new-jobs.js';
import { readRecord } from '../job/record.js';
import type { JobRow, UpsertedJob } from '../job/types.js';
import {
  type ParsedProcessorOptions,
  parseHandlers,
  parseProcessorOptions,
  refuseUnhandled,
} from '../processor/arguments.js';
import { JobProcessor } from '../processor/processor.js';
import { printError } from '../processor/report.js';
import type { Processor } from '../processor/types.js';
import {
  DEFAULT_DAYS,
  parseAddOptions,
  parseDatabaseOptions,
  parseDays,
  parseFilters,
  parseJobId,
  parseMinutes,
  parsePage,
  parseStatus,
  splitArguments,
} from './arguments.js';
import { ClientDatabase, type Database, OwnDatabase, PATIENCE } from './database.js';
import { forgetQueue, HotReloadedProcessor, isNextDevelopment } from './hot-reload.js';
import { QUEUE_INTERNALS, type QueueInternals } from './internals.js';
import { createPool } from './node-postgres.js';
import { OldJobs, oldJobs } from './old-jobs.js';
import { type CleanupPage, type CleanupPosition, FIRST_PAGE, type Operation } from './operation.js';
import { answering, type OwnQueue } from './password.js';
import { tellRefused } from './refused.js';

type AnyRecord = JobRow<Record<string, unknown>, string>;
type Arguments = readonly unknown[];

const DRAIN_TIMEOUT = 30_000;

/**
 * The methods check their arguments and run operations, whose statements are made in Rust. They know nothing of the
 * types of payloads, which are the caller's.
 */
export class PostgresJobQueue {
  private readonly queue: NativeQueue;
  private readonly database: OwnDatabase;
  private readonly log: Log | undefined;
  private readonly oldJobs: OldJobs;
  /** The processors whose engine runs. */
  private readonly processors = new Set<JobProcessor>();
  private pool: ReturnType<typeof createPool> | null = null;
  private closing: Promise<void> | null = null;

  /** Private to JavaScript too, so that printing the queue does not print the password. */
  readonly #config: ResolvedConfig;

  constructor(config: ResolvedConfig) {
    this.#config = config;
    const { settings, schema, askPassword } = config;
    const own: OwnQueue = {};
    this.queue = callSync(
      () =>
        new (native().NativeQueue)(settings, schema, askPassword && answering(askPassword, own)),
    );
    own.queue = new WeakRef(this.queue);
    this.database = new OwnDatabase(this.queue);
    this.log = openLog(config.verbose);
    this.oldJobs = new OldJobs(
      oldJobs(config.retention),
      async (old, from, limitMs) => {
        const [result, refused] = await this.database.run(
          { verb: 'cleanup', ...old, ...from },
          limitMs,
        );
        const page = JSON.parse(result ?? '') as CleanupPage;
        if (page.deleted > 0) this.log?.(`deleted ${page.deleted} old jobs`);
        return { page, refused };
      },
      (refused, tell) => tellRefused('deleted', refused, tell),
    );
    bindMethods(this, Object.getOwnPropertyNames(PostgresJobQueue.prototype));
  }

  async addJob(...args: Arguments): Promise<number> {
    const added = await this.add('addJob', args);
    return typeof added === 'number' ? added : added.id;
  }

  async upsertJob(...args: Arguments): Promise<UpsertedJob> {
    return (await this.add('upsertJob', args)) as UpsertedJob;
  }

  /** Gives the job's id, or, if it has a key, what was decided. */
  private async add(method: string, args: Arguments): Promise<number | UpsertedJob> {
    const { database, rest } = this.split(method, args, 2);
    const parsed = parseJob(method, rest[0], this.#config.defaults);
    if (method === 'upsertJob' && !parsed.isKeyed) {
      refuseArgument(method, 'the job must have an idempotency_key');
    }
    const { client, job } = parseAddOptions(method, rest[1], parsed);
    const added = await this.on(client, database).addJob(job);
    if (typeof added === 'number') {
      this.log?.(`added job ${added} (${inLine(job.type)})`);
      return added;
    }
    const [id, outcome, status] = added;
    if (outcome === 'rejected') {
      throw new JobQueueError(
        'DUPLICATE_JOB',
        `${method}: job ${id} holds the key: the job was not added`,
        { jobId: id },
      );
    }
    this.log?.(`${outcome} job ${id} (${inLine(job.type)})`);
    return { id, outcome, status };
  }

  async addJobs(...args: Arguments): Promise<number[]> {
    const { database, rest } = this.split('addJobs', args, 2);
    const jobs = parseJobs('addJobs', rest[0], this.#config.defaults);
    const db = parseDatabaseOptions('addJobs', rest[1]);
    if (jobs.count === 0) return [];
    const ids = await this.on(db, database).addJobs(jobs);
    this.log?.(`added ${ids.length} jobs`);
    return ids;
  }

  async getJob(...args: Arguments): Promise<AnyRecord | null> {
    const { database, rest } = this.split('getJob', args, 1);
    const id = parseJobId('getJob', rest[0]);
    const [record] = await database.run({ verb: 'findJob', id });
    return record === undefined ? null : readRecord(record);
  }

  async getJobsByStatus(...args: Arguments): Promise<AnyRecord[]> {
    const { database, rest } = this.split('getJobsByStatus', args, 3);
    const status = parseStatus('getJobsByStatus', rest[0]);
    const page = parsePage('getJobsByStatus', rest[1], rest[2]);
    const records = await database.run({ verb: 'findJobsByStatus', status, ...page });
    return records.map(readRecord);
  }

  async getAllJobs(...args: Arguments): Promise<AnyRecord[]> {
    const { database, rest } = this.split('getAllJobs', args, 2);
    const page = parsePage('getAllJobs', rest[0], rest[1]);
    const records = await database.run({ verb: 'findAllJobs', ...page });
    return records.map(readRecord);
  }

  async retryJob(...args: Arguments): Promise<void> {
    const { database, rest } = this.split('retryJob', args, 1);
    const id = parseJobId('retryJob', rest[0]);
    const [fate] = await database.run({ verb: 'retry', id });
    if (fate === 'running') {
      throw new JobQueueError(
        'JOB_RUNNING',
        `retryJob: job ${id} is running, under a lease that has not ended: wait, or cancel it first`,
      );
    }
    if (fate?.startsWith('duplicate of ')) {
      const jobId = Number(fate.slice('duplicate of '.length));
      throw new JobQueueError(
        'DUPLICATE_JOB',
        `retryJob: job ${jobId} holds the key of job ${id}, which stays as it is`,
        { jobId },
      );
    }
    this.log?.(`retried job ${id}`);
  }

  async cancelJob(...args: Arguments): Promise<void> {
    const { database, rest } = this.split('cancelJob', args, 1);
    const id = parseJobId('cancelJob', rest[0]);
    const [fate] = await database.run({ verb: 'cancel', id });
    if (fate === 'cancelled') this.log?.(`cancelled job ${id}`);
    if (fate === 'requested') this.log?.(`asked the running job ${id} to end`);
  }

  async cancelAllUpcomingJobs(...args: Arguments): Promise<number> {
    const { database, rest } = this.split('cancelAllUpcomingJobs', args, 1);
    const filters = parseFilters('cancelAllUpcomingJobs', rest[0]);
    const [count, refused] = await database.run({ verb: 'cancelUpcoming', ...filters });
    tellRefused('cancelled', refused, printError);
    this.log?.(`cancelled ${count} upcoming jobs`);
    return Number(count);
  }

  async reclaimStuckJobs(...args: Arguments): Promise<number> {
    const { database, rest } = this.split('reclaimStuckJobs', args, 1);
    const maxProcessingMinutes = parseMinutes('reclaimStuckJobs', rest[0]);
    const [count, refused] = await database.run({ verb: 'reclaim', maxProcessingMinutes });
    tellRefused('put back', refused, printError);
    this.log?.(`reclaimed ${count} stuck jobs`);
    return Number(count);
  }

  async cleanupOldJobs(...args: Arguments): Promise<number> {
    const { database, rest } = this.split('cleanupOldJobs', args, 1);
    const daysToKeep = parseDays('cleanupOldJobs', rest[0]);
    let total = 0;
    let after: CleanupPosition | null = null;
    do {
      const [result, refused] = await database.run({
        verb: 'cleanup',
        status: 'completed',
        daysToKeep,
        ...FIRST_PAGE,
        after,
      });
      tellRefused('deleted', refused, printError);
      const page = JSON.parse(result ?? '') as CleanupPage;
      total += page.deleted;
      after = page.last;
    } while (after !== null);
    this.log?.(`deleted ${total} old jobs`);
    return total;
  }

  createProcessor(handlers: unknown, options?: unknown): Processor {
    return this.openProcessor(handlers, parseProcessorOptions(options));
  }

  [QUEUE_INTERNALS](): QueueInternals {
    this.refuseIfClosed('createRouteHandler');
    const ask = async (operation: Operation, limitMs: number) => {
      const [result, refused] = await this.database.run(operation, limitMs);
      return { answer: JSON.parse(result ?? ''), refused };
    };
    return {
      createProcessor: (handlers, options) => this.openProcessor(handlers, options),
      reclaimStuckJobs: async (limitMs, tell) => {
        const maxProcessingMinutes = parseMinutes('createRouteHandler');
        const reclaimed = await ask({ verb: 'reclaim', maxProcessingMinutes }, limitMs);
        const count: number = reclaimed.answer;
        tellRefused('put back', reclaimed.refused, tell);
        this.log?.(`reclaimed ${count} stuck jobs`);
        return count;
      },
      oldJobs: (daysToKeep) => {
        const { retention } = this.#config;
        const completed = daysToKeep ?? retention?.completed ?? DEFAULT_DAYS;
        return oldJobs({ ...retention, completed });
      },
      deleteOldJobs: async (old, from, limitMs, tell) => {
        const deleted = await ask({ verb: 'cleanup', ...old, ...from }, limitMs);
        const page: CleanupPage = deleted.answer;
        tellRefused('deleted', deleted.refused, tell);
        this.log?.(`deleted ${page.deleted} old jobs`);
        return page;
      },
      backlog: async (types, limitMs) => (await ask({ verb: 'backlog', types }, limitMs)).answer,
    };
  }

  private openProcessor(handlers: unknown, options: ParsedProcessorOptions): JobProcessor {
    this.refuseIfClosed('createProcessor');
    const Processor = isNextDevelopment() ? HotReloadedProcessor : JobProcessor;
    const handlersByType = parseHandlers(handlers);
    refuseUnhandled(options, handlersByType);
    return new Processor(
      {
        queue: this.queue,
        running: this.processors,
        background: this.oldJobs,
        verbose: this.#config.verbose,
        completeIn: async (client, id, runNo, remove) => {
          const database = new ClientDatabase(client, this.queue);
          const completed = await database.run({ verb: 'complete', id, runNo, remove });
          return completed.length > 0;
        },
        refuseIfClosed: (method) => this.refuseIfClosed(method),
      },
      handlersByType,
      options,
    );
  }

  getPool(): ReturnType<typeof createPool> {
    this.refuseIfClosed('getPool');
    this.pool ??= createPool(this.#config.poolConfig);
    return this.pool;
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    // The caller may be the second handler that waits for the end. It must not be waited for either.
    for (const processor of this.processors) void processor.handBackCaller();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async shutDown(): Promise<void> {
    forgetQueue(this);
    const draining = [...this.processors].map((processor) => processor.stopAndDrain(DRAIN_TIMEOUT));
    await Promise.all(draining);
    await Promise.all([this.database.close(), within(PATIENCE, this.endPool())]);
    this.log?.('closed');
  }

  /** Ends the pool. Waits for the clients that the user has taken from it and not given back. */
  private async endPool(): Promise<void> {
    // The user may have ended it already, and to end it twice is an error.
    if (!this.pool?.ending) await this.pool?.end();
  }

  /** Gives the database that a method runs on, and its arguments without the client. */
  private split(
    method: string,
    args: Arguments,
    most: number,
  ): { database: Database; rest: Arguments } {
    this.refuseIfClosed(method);
    const { client, rest } = splitArguments(method, args, most);
    return { database: this.on(client, this.database), rest };
  }

  private on(client: Client | null, otherwise: Database): Database {
    return client === null ? otherwise : new ClientDatabase(client, this.queue);
  }

  private refuseIfClosed(method: string): void {
    if (this.closing !== null) {
      throw new JobQueueError('CLOSED', `${method}: the job queue is closed`);
    }
  }
}
