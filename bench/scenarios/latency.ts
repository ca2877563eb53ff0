import { setTimeout as delay } from 'node:timers/promises';
import { defaults, graphileWorker, pgBossListening } from '../peers/index.js';
import { payload } from '../peers/peer.js';
import { quantile } from '../statistics.js';
import type { Scenario } from './scenario.js';

/** Milliseconds between two jobs: the worker is idle when the next one comes. */
const pause = () => 20 + Math.random() * 20;

/** The monotonic clock of the machine, which all processes share, in milliseconds. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

export const latency: Scenario = {
  name: 'latency',
  title: "From addJob in one process to the handler's start in another, the worker idle",
  metrics: { p50: { unit: 'ms', better: 'less' }, p99: { unit: 'ms', better: 'less' } },
  peers: [defaults, graphileWorker, pgBossListening],
  targets: [
    { metric: 'p50', against: [graphileWorker], atLeast: 2 },
    { metric: 'p99', against: [graphileWorker], atLeast: 2 },
  ],
  size: { full: { jobs: 0, seconds: 10 }, quick: { jobs: 0, seconds: 2 } },

  /** What was added in the first second after the first job is warming up. */
  async measure({ peer, url, size, startProducer }) {
    const queue = await peer.open(url);
    const latencies: number[] = [];
    let heardAt = 0;
    await queue.work?.(({ note }) => {
      const addedAt = Number(note);
      heardAt ||= now();
      if (addedAt > heardAt + 1000) latencies.push(now() - addedAt);
    });
    startProducer();
    while (heardAt === 0) await delay(10);
    await delay(1000 + size.seconds * 1000);
    // One that looks for jobs now and then may not have looked yet.
    while (latencies.length < 10) await delay(10);
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
  },

  async produce({ peer, url }) {
    const queue = await peer.open(url);
    for (;;) {
      await queue.add(payload(String(now())));
      await delay(pause());
    }
  },
};
