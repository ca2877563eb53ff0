/** The processes that measurements run in. `fork` starts one; run as a script, this file is one. */
import { type ChildProcess, fork as forkNode } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Figures, Size } from './scenarios/scenario.js';

export interface Task {
  role: 'measure' | 'produce';
  /** By name. */
  scenario: string;
  peer: string;
  url: string;
  size: Size;
}

const file = fileURLToPath(import.meta.url);

/** A measurement that takes longer has gone wrong. */
const timeoutMs = 120_000;

/** It ends with this process at the latest. */
function fork(task: Task): ChildProcess {
  return forkNode(file, [JSON.stringify(task)], {
    execArgv: ['--import', 'tsx'],
    // What peers print about each job is not what is measured.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** The figures of one measurement, made in a process of its own. */
export function measureInChild(task: Omit<Task, 'role'>): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const child = fork({ ...task, role: 'measure' });
    const timeout = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.once('message', (figures) => resolve(figures as Figures));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timeout);
      reject(new Error(`the measurement ended with ${signal ?? `code ${code}`}`));
    });
  });
}

async function runTask(task: Task): Promise<void> {
  process.once('disconnect', () => process.exit());
  // Not at the top: they are no business of the process that starts children.
  const [{ scenarios }, { flatScenarios }, { peers }] = await Promise.all([
    import('./scenarios/index.js'),
    import('./flat/scenarios.js'),
    import('./peers/index.js'),
  ]);
  const scenario = [...scenarios, ...flatScenarios].find(({ name }) => name === task.scenario);
  const peer = peers.find(({ name }) => name === task.peer);
  if (!scenario || !peer) throw new Error(`there is no ${task.scenario} or no ${task.peer}`);

  const producers: ChildProcess[] = [];
  const context = {
    ...task,
    peer,
    startProducer() {
      const producer = fork({ ...task, role: 'produce' });
      producer.once('exit', () => process.exit(1));
      producers.push(producer);
    },
  };
  if (task.role === 'produce') return await scenario.produce?.(context);
  const figures = await scenario.measure(context);
  for (const producer of producers) producer.removeAllListeners('exit').kill('SIGKILL');
  process.send?.(figures, () => process.exit());
}

if (process.argv[1] === file && process.argv[2]) {
  await runTask(JSON.parse(process.argv[2]) as Task);
}
