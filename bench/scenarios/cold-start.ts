import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { dataqueue, defaults, graphileWorker, pgBoss } from '../peers/index.js';
import { median } from '../statistics.js';
import type { Scenario } from './scenario.js';

const startsPerRound = 7;

export const coldStart: Scenario = {
  name: 'cold-start',
  title: 'Loading the package, opening a queue and adding the first job, over what bare Node takes',
  metrics: { time: { unit: 'ms', better: 'less' }, memory: { unit: 'MB', better: 'less' } },
  peers: [defaults, dataqueue, graphileWorker, pgBoss],
  targets: [
    { metric: 'time', against: [dataqueue], atLeast: 4 },
    { metric: 'memory', against: [dataqueue], atLeast: 1 / 0.6 },
  ],
  size: { full: { jobs: 0, seconds: 0 }, quick: { jobs: 0, seconds: 0 } },

  /** Each start has a process of plain Node: the scripts are in the folder cold-start. */
  async measure({ peer, url }) {
    const bare: Start[] = [];
    const loaded: Start[] = [];
    await start('bare', url);
    await start(peer.schema, url);
    for (let n = 0; n < startsPerRound; n++) {
      bare.push(await start('bare', url));
      loaded.push(await start(peer.schema, url));
    }
    const over = (figure: (start: Start) => number) =>
      median(loaded.map(figure)) - median(bare.map(figure));
    return { time: over(({ ms }) => ms), memory: over(({ bytes }) => bytes) / 1e6 };
  },
};

interface Start {
  /** Since the process began. */
  ms: number;
  /** Resident, when the job was added. */
  bytes: number;
}

async function start(script: string, url: string): Promise<Start> {
  const file = join(import.meta.dirname, 'cold-start', `${script}.mjs`);
  // Without what loads TypeScript into this process.
  const env = { ...process.env, NODE_OPTIONS: '', DATABASE_URL: url };
  const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
  return JSON.parse(stdout) as Start;
}
