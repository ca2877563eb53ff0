/**
 * `npm --prefix bench run before -- FOLDER [--rounds 5] [--only drain]`: the package beside itself as it was, a built
 * checkout of an earlier commit in FOLDER. In each round each of the two has its turn, and in the next the other one is
 * first. Prints the ratio of the medians and the figures of each round.
 */
import { execFile, fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Server } from '../database.js';
import { median } from '../statistics.js';
import { peerOf } from './peer.js';
import { scenarioNames, type Task } from './scenarios.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const child = fileURLToPath(new URL('scenarios.ts', import.meta.url));

/** What a scenario has done in a second, measured in a process of its own. */
function measure(task: Task): Promise<number> {
  return new Promise((resolve, reject) => {
    const process = fork(child, [JSON.stringify(task)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    process.once('message', (rate) => resolve(Number(rate)));
    process.once('error', reject);
    process.once('exit', (code) => reject(new Error(`${task.scenario} ended with code ${code}`)));
  });
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true, default: [] },
    },
  });
  const [before] = positionals;
  if (before === undefined) throw new Error('name the folder of a built checkout');
  const folders = { before, after: root };
  for (const folder of Object.values(folders)) {
    await promisify(execFile)(process.execPath, [join(folder, 'cli.js'), '--version']);
  }
  await using server = await Server.start();
  const names = values.only.length > 0 ? values.only : scenarioNames;
  for (const scenario of names) {
    const rates = { before: [] as number[], after: [] as number[] };
    for (let round = 0; round < Number(values.rounds); round++) {
      const order = ['before', 'after'] as const;
      for (const which of round % 2 === 0 ? order : order.toReversed()) {
        const folder = folders[which];
        await using database = await server.createDatabase(peerOf(which, folder));
        rates[which].push(await measure({ scenario, folder, url: database.url }));
      }
    }
    const ratio = median(rates.after) / median(rates.before);
    const figures = (rounds: number[]) => rounds.map((rate) => Math.round(rate)).join(' ');
    console.log(
      `${scenario.padEnd(9)} ${ratio.toFixed(3)}  before ${figures(rates.before)}  after ${figures(rates.after)}`,
    );
  }
}

void main();
