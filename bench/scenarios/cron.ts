import { settleDown } from '../database.js';
import { dataqueue, defaults } from '../peers/index.js';
import type { Scenario } from './scenario.js';

export const cron: Scenario = {
  name: 'cron',
  title: "The README's cron route in a loop: batches of 10, 3 at a time",
  metrics: { rate: { unit: 'jobs/s', better: 'more' } },
  peers: [defaults, dataqueue],
  targets: [{ metric: 'rate', against: [dataqueue], atLeast: 3 }],
  size: { full: { jobs: 20_000, seconds: 5 }, quick: { jobs: 10_000, seconds: 2 } },

  async measure({ peer, url, size }) {
    await peer.seed(url, size.jobs);
    await settleDown(url);
    const queue = await peer.open(url);
    const runBatch = async () => (await queue.runBatch?.(() => {})) ?? 0;

    await runBatch();
    const startedAt = performance.now();
    let ran = 0;
    for (let batch = 1; batch > 0 && performance.now() - startedAt < size.seconds * 1000; ) {
      batch = await runBatch();
      ran += batch;
    }
    return { rate: (ran / (performance.now() - startedAt)) * 1000 };
  },
};
