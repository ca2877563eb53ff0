import { setTimeout as delay } from 'node:timers/promises';
import { fast, graphileWorkerFastest } from '../peers/index.js';
import { payload } from '../peers/peer.js';
import type { Scenario } from './scenario.js';

const jobsPerSecond = 2000;
/** Jobs are added by the dozen, as often as it takes. */
const atOnce = 20;

export const eventLoop: Scenario = {
  name: 'event-loop',
  title: `How busy ${jobsPerSecond.toLocaleString('en')} jobs a second that do nothing keep a worker's event loop`,
  metrics: {
    utilization: { unit: '%', better: 'less' },
    'cpu, all threads': { unit: '%', better: 'less', secondary: true },
    rate: { unit: 'jobs/s', better: 'more', secondary: true },
  },
  peers: [fast, graphileWorkerFastest],
  targets: [{ metric: 'utilization', against: [graphileWorkerFastest], atLeast: 2 }],
  size: { full: { jobs: 0, seconds: 10 }, quick: { jobs: 0, seconds: 3 } },

  async measure({ peer, url, size, startProducer }) {
    const queue = await peer.open(url);
    let ran = 0;
    await queue.work?.(() => {
      ran++;
    });
    startProducer();
    while (ran < jobsPerSecond) await delay(10);

    const before = { ran, loop: performance.eventLoopUtilization(), cpu: process.cpuUsage() };
    const startedAt = performance.now();
    await delay(size.seconds * 1000);
    const elapsed = performance.now() - startedAt;
    const { user, system } = process.cpuUsage(before.cpu);
    return {
      utilization: performance.eventLoopUtilization(before.loop).utilization * 100,
      'cpu, all threads': (user + system) / elapsed / 10,
      rate: ((ran - before.ran) / elapsed) * 1000,
    };
  },

  async produce({ peer, url }) {
    const queue = await peer.open(url);
    const payloads = Array.from({ length: atOnce }, () => payload());
    const add = () =>
      queue.addMany?.(payloads) ?? Promise.all(payloads.map((each) => queue.add(each)));
    const startedAt = performance.now();
    for (let added = 0; ; added += atOnce) {
      await delay(startedAt + (added / jobsPerSecond) * 1000 - performance.now());
      void add();
    }
  },
};
