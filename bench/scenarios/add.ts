import { dataqueue, defaults, graphileWorker, pgBoss } from '../peers/index.js';
import { type Peer, payload } from '../peers/peer.js';
import type { Scenario } from './scenario.js';
import { lacksAddJobs } from './support.js';

/** So many callers, each of which adds a job, waits until it is committed, and adds the next. */
const addBy = (callers: number, others: Peer[], atLeast: number): Scenario => ({
  name: `add-${callers}`,
  title: `addJob by ${callers === 1 ? 'one caller' : `${callers.toLocaleString('en')} callers at once`}`,
  metrics: { rate: { unit: 'jobs/s', better: 'more' } },
  peers: [defaults, ...others],
  targets: [{ metric: 'rate', against: others, atLeast }],
  size: { full: { jobs: 0, seconds: 3 }, quick: { jobs: 0, seconds: 1 } },

  async measure({ peer, url, size }) {
    const queue = await peer.open(url);
    const addFor = async (ms: number): Promise<number> => {
      let added = 0;
      const startedAt = performance.now();
      const call = async () => {
        while (performance.now() - startedAt < ms) {
          await queue.add(payload());
          added++;
        }
      };
      await Promise.all(Array.from({ length: callers }, call));
      return (added / (performance.now() - startedAt)) * 1000;
    };
    await addFor(size.seconds * 200);
    return { rate: await addFor(size.seconds * 1000) };
  },
});

export const add = [
  addBy(1, [graphileWorker, pgBoss, dataqueue], 2),
  // Ten calls of dataqueue's at once wait for ever.
  addBy(10, [graphileWorker, pgBoss], 5),
  addBy(1000, [graphileWorker, pgBoss], 20),
];

export const addMany: Scenario = {
  name: 'add-many',
  title: 'addJobs: all jobs in one call',
  metrics: { rate: { unit: 'jobs/s', better: 'more' } },
  peers: [defaults, graphileWorker, pgBoss],
  targets: [{ metric: 'rate', against: [graphileWorker], atLeast: 2 }],
  size: { full: { jobs: 50_000, seconds: 60 }, quick: { jobs: 10_000, seconds: 60 } },
  unavailable: lacksAddJobs,

  async measure({ peer, url, size }) {
    const queue = await peer.open(url);
    const payloads = Array.from({ length: size.jobs }, (_, n) => payload(String(n)));
    // Connects, and prepares what there is to prepare.
    await queue.addMany?.(payloads.slice(0, 10));
    const startedAt = performance.now();
    await queue.addMany?.(payloads);
    return { rate: (size.jobs / (performance.now() - startedAt)) * 1000 };
  },
};
