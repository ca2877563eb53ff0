/**
 * `npm --prefix bench run profile`: what the time of a drain goes to, as processor time for each job, by
 * thread of the worker's process and by process of Postgres. Linux only: it reads /proc.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { query, Server, settleDown } from './database.js';
import { describeMachine } from './machine.js';
import { fast, fastRemoving } from './peers/index.js';
import type { Peer } from './peers/peer.js';
import { describeRun } from './report.js';

const jobs = 150_000;
/** The kernel counts in hundredths of a second. */
const ticks = 100;

/** Seconds of processor time, by name. */
type Times = Map<string, number>;

function timeOf(folder: string): number {
  const stat = readFileSync(`${folder}/stat`, 'utf8');
  // The name is in parentheses, and may hold some.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

const add = (times: Times, name: string, seconds: number) =>
  times.set(name, (times.get(name) ?? 0) + seconds);

async function measure(url: string): Promise<Times> {
  const times: Times = new Map();
  for (const thread of readdirSync('/proc/self/task')) {
    const folder = `/proc/self/task/${thread}`;
    const name = readFileSync(`${folder}/comm`, 'utf8').trim();
    const own = Number(thread) === process.pid ? "Node's event loop" : undefined;
    const engine = name.startsWith('pg-bg-job') ? "the engine's thread" : undefined;
    add(times, own ?? engine ?? "Node's other threads", timeOf(folder));
  }
  const backends = await query<{ pid: number }>(
    url,
    'select pid from pg_stat_activity where pid <> pg_backend_pid()',
  );
  for (const { pid } of backends) add(times, 'Postgres', timeOf(`/proc/${pid}`));
  return times;
}

async function profile(server: Server, peer: Peer): Promise<void> {
  await using database = await server.createDatabase(peer);
  const { url } = database;
  await peer.seed(url, jobs);
  await settleDown(url);
  const queue = await peer.open(url);
  let [ran, before] = [0, new Map() as Times];
  let startedAt = 0;
  await new Promise<void>((resolve) => {
    void queue.work?.(() => {
      if (ran++ === 0) startedAt = performance.now();
      if (ran === jobs) resolve();
    });
    void measure(url).then((times) => {
      before = times;
    });
  });
  const elapsed = performance.now() - startedAt;
  const after = await measure(url);
  const perJob = (seconds: number) => `${((seconds * 1e6) / jobs).toFixed(1)} µs`;
  console.log(`\n${peer.name}: ${perJob(elapsed / 1000)} a job, of which processors were at`);
  for (const [name, seconds] of after) {
    console.log(`  ${name.padEnd(22)}${perJob(seconds - (before.get(name) ?? 0)).padStart(10)}`);
  }
}

{
  await using server = await Server.start();
  console.log(describeRun(await describeMachine(await server.version())));
  for (const peer of [fast, fastRemoving]) await profile(server, peer);
}
// The queues are still open.
process.exit();
