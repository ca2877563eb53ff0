/** What the checks of `--flat` measure in a process of its own. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { connected, countUnfinished, query, settleDown } from '../database.js';
import { oneType } from '../peers/index.js';
import { measureSeeded } from '../scenarios/drain.js';
import type { Context, Figures, Scenario } from '../scenarios/scenario.js';
import { type Activity, activityOf } from './activity.js';

const flatScenario = (
  name: string,
  measure: Scenario['measure'],
  produce?: Scenario['produce'],
): Scenario => ({
  name,
  title: name,
  metrics: { rate: { unit: 'jobs/s', better: 'more' } },
  peers: [oneType],
  targets: [],
  size: { full: { jobs: 0, seconds: 0 }, quick: { jobs: 0, seconds: 0 } },
  measure,
  ...(produce && { produce }),
});

/** How long an idle worker is watched. */
const idleMs = 4000;

export const drainOneType = flatScenario('flat-drain', async (context) => {
  await context.peer.seed(context.url, context.size.jobs);
  await settleDown(context.url);
  return await measureSeeded(context);
});

export const manyPriorities = flatScenario('flat-priorities', async (context) => {
  await context.peer.seed(context.url, context.size.jobs);
  await query(context.url, 'update job_queue set priority = id % 1000');
  await settleDown(context.url);
  return await measureSeeded(context);
});

/** The rate of the last tenth of the jobs, and what a poll costs when all are done. */
async function measureEnd({ peer, url, size }: Context): Promise<Figures> {
  const queue = await peer.open(url);
  let ran = 0;
  let lastTenthAt = 0;
  const endedAt = await new Promise<number>((resolve) => {
    void queue.work?.(() => {
      ran++;
      if (ran === Math.floor(size.jobs * 0.9)) lastTenthAt = performance.now();
      if (ran === size.jobs) resolve(performance.now());
    });
  });
  while ((await countUnfinished(peer, url)) > 0) await delay(20);
  const { statementMs, commits } = await whileIdle(url);
  return {
    rate: (size.jobs * 0.1 * 1000) / (endedAt - lastTenthAt),
    poll: statementMs / commits,
  };
}

export const cleanEnd = flatScenario('flat-clean', async (context) => {
  await context.peer.seed(context.url, context.size.jobs);
  await settleDown(context.url);
  return await measureEnd(context);
});

export const snapshotEnd = flatScenario('flat-snapshot', async (context) => {
  await context.peer.seed(context.url, context.size.jobs);
  await settleDown(context.url);
  const holder = new Client({ connectionString: context.url });
  await holder.connect();
  // A snapshot is taken by the first statement, and kept to the end.
  await holder.query('begin isolation level repeatable read');
  await holder.query('select count(*) from job_queue');
  return await measureEnd(context);
});

/** From the commit of the jobs until all are settled, by this process and `others`. */
const processes = (name: string, others: number) =>
  flatScenario(
    name,
    async ({ peer, url, size, startProducer }) => {
      const queue = await peer.open(url);
      await queue.work?.(() => {});
      for (let n = 0; n < others; n++) startProducer();
      await allConnected(url, 1 + others);
      // What each process does for the first time takes it a while.
      await peer.seed(url, size.jobs / 5);
      await untilFinished(url);
      await settleDown(url);
      await peer.seed(url, size.jobs);
      const addedAt = performance.now();
      await untilFinished(url);
      const rate = (size.jobs / (performance.now() - addedAt)) * 1000;
      return { rate, deadlocks: (await activityOf(url)).deadlocks };
    },
    async ({ peer, url }) => {
      const queue = await peer.open(url);
      await queue.work?.(() => {});
    },
  );

/**
 * To count what is left would slow them down, and so would it to look for any: it walks what has just left the
 * index. So the last job is waited for before.
 */
async function untilFinished(url: string): Promise<void> {
  const ofLast = `select from job_queue
    where id = (select max(id) from job_queue) and status in ('pending', 'processing')`;
  const ofAny = `(select from job_queue where ready_at < 'infinity' order by priority desc, ready_at, id limit 1)
    union all
    (select from job_queue where status = 'processing' limit 1)`;
  await connected(url, async (client) => {
    await client.query('set enable_seqscan = off; set enable_bitmapscan = off');
    for (const unfinished of [ofLast, ofAny]) {
      while ((await client.query(unfinished)).rows.length > 0) await delay(10);
    }
  });
}

async function allConnected(url: string, count: number): Promise<void> {
  for (;;) {
    const [row] = await query<{ count: number }>(
      url,
      `select count(*)::int from pg_stat_activity
       where datname = current_database() and query ~ 'claimed|recovered' and pid <> pg_backend_pid()`,
    );
    if (row && row.count >= count) return;
    await delay(50);
  }
}

export const oneProcess = processes('flat-one-process', 0);
export const fourProcesses = processes('flat-four-processes', 3);

export const idleWorker = flatScenario('flat-idle', async ({ peer, url }) => {
  await settleDown(url);
  const queue = await peer.open(url);
  await queue.work?.(() => {});
  // What connecting cost is reported to the statistics within a second.
  await delay(2000);
  const { commits, rowsWritten, transactionIds } = await whileIdle(url);
  return { polls: commits, rowsWritten, transactionIds };
});

async function whileIdle(url: string): Promise<Activity> {
  await delay(1500);
  const before = await activityOf(url);
  await delay(idleMs);
  const after = await activityOf(url);
  return {
    statementMs: after.statementMs - before.statementMs,
    commits: after.commits - before.commits,
    rowsWritten: after.rowsWritten - before.rowsWritten,
    transactionIds: after.transactionIds - before.transactionIds,
    deadlocks: after.deadlocks - before.deadlocks,
  };
}

export const flatScenarios: readonly Scenario[] = [
  drainOneType,
  manyPriorities,
  cleanEnd,
  snapshotEnd,
  oneProcess,
  fourProcesses,
  idleWorker,
];
