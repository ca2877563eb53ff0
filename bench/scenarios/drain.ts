import { setTimeout as delay } from 'node:timers/promises';
import { countUnfinished, settleDown } from '../database.js';
import {
  bareLoops,
  dataqueue,
  fast,
  fast24,
  fastRemoving,
  graphileWorker,
  graphileWorkerFastest,
  pgBoss,
  pgBossFastest,
} from '../peers/index.js';
import type { Context, Figures, Scenario } from './scenario.js';
import { lacksRemoveOnComplete } from './support.js';

const size = { full: { jobs: 50_000, seconds: 10 }, quick: { jobs: 10_000, seconds: 2 } };
const metrics = { rate: { unit: 'jobs/s', better: 'more' } } as const;

export const drain: Scenario = {
  name: 'drain',
  title: 'Draining a backlog of jobs that do nothing, finished rows kept',
  metrics,
  peers: [
    fast,
    fast24,
    graphileWorkerFastest,
    graphileWorker,
    pgBossFastest,
    pgBoss,
    dataqueue,
    ...bareLoops,
  ],
  targets: [
    { metric: 'rate', against: [graphileWorkerFastest], atLeast: 1.6 },
    { metric: 'rate', against: [dataqueue], atLeast: 15 },
    { metric: 'rate', against: [pgBoss], atLeast: 15 },
    { metric: 'rate', against: bareLoops, atLeast: 0.8 },
  ],
  size,
  measure,
};

export const drainRemoving: Scenario = {
  name: 'drain-removing',
  title: 'Draining a backlog of jobs that do nothing, finished rows deleted',
  metrics,
  peers: [fastRemoving, graphileWorkerFastest],
  targets: [{ metric: 'rate', against: [graphileWorkerFastest], atLeast: 2.2 }],
  size,
  unavailable: lacksRemoveOnComplete,
  measure,
};

/** From the start of the first job until the last is settled in the database. */
async function measure(context: Context): Promise<Figures> {
  await context.peer.seed(context.url, context.size.jobs);
  await settleDown(context.url);
  return await measureSeeded(context);
}

export async function measureSeeded({ peer, url, size }: Context): Promise<Figures> {
  const queue = await peer.open(url);

  let started = 0;
  let startedAt = 0;
  await new Promise<void>((resolve) => {
    void queue.work?.(() => {
      if (started === 0) {
        startedAt = performance.now();
        setTimeout(resolve, size.seconds * 1000);
      }
      started++;
      if (started === size.jobs) resolve();
    });
  });
  for (;;) {
    const askedAt = performance.now();
    const unfinished = await countUnfinished(peer, url);
    if (unfinished === 0 || askedAt - startedAt >= size.seconds * 1000) {
      return { rate: ((size.jobs - unfinished) / (askedAt - startedAt)) * 1000 };
    }
    await delay(5);
  }
}
