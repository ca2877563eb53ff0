/**
 * The physical limit: the statement that the package's engine lives on, which settles the last batch
 * and claims the next, sent over and over by as many connections as do best. There is no engine and
 * there are no handlers; rows are not parsed beyond what the next round has to send back.
 *
 * The statement is not copied here but read from the server after the package has sent it, so that
 * it is always the same. The values that go with it are in `engineParameters`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { initJobQueue, type Processor } from 'pg-bg-job-queue';
import { connected, query } from '../database.js';
import { type Handle, type Peer, payload } from './peer.js';
import { type AnyProcessorOptions, pgBgJobQueue } from './pg-bg-job-queue.js';

/** What a session of the package's begins with: `Settings::for_session` in src/connect/settings.rs. */
const session =
  'set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; ' +
  'set enable_mergejoin = off; set jit = off; set plan_cache_mode = force_generic_plan';

const batchSize = 1000;
const applicationName = 'its-statement-is-read';

export function bareLoop(connections: number, options: AnyProcessorOptions = {}): Peer {
  return {
    ...pgBgJobQueue('bare loop'),
    name: `bare loop, ${connections} ${connections === 1 ? 'connection' : 'connections'}`,
    settings: `the package's own statement by node-postgres, ${batchSize} jobs at a time`,
    async open(url) {
      return {
        add: () => Promise.reject(new Error('the bare loop only works')),
        async work(handle) {
          const statement = await engineStatement(url, options);
          const loops = Array.from({ length: connections }, () => loop(url, statement, handle));
          Promise.all(loops).catch((error) => {
            // Nobody waits for it.
            console.error(error);
            process.exit(1);
          });
        },
      };
    },
  };
}

interface Run {
  id: string;
  runNo: string;
}

async function loop(url: string, text: string, handle: Handle): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(session);
  const noted = payload();
  const types = { getTypeParser: () => (value: string) => value };
  for (let runs: Run[] = []; ; ) {
    const { rows, fields } = await client.query<string[]>({
      name: 'engine',
      text,
      values: engineParameters(runs),
      rowMode: 'array',
      types,
    });
    const column = (name: string) => fields.findIndex((field) => field.name === name);
    const [id, runNo, fate] = [column('id'), column('run_no'), column('fate')];
    runs = rows
      .filter((row) => row[fate] === 'processing')
      .map((row) => ({ id: row[id] as string, runNo: row[runNo] as string }));
    for (const _ of runs) handle(noted);
    if (runs.length === 0) await delay(10);
  }
}

/** `$1` to `$15` of the exchange in src/store/claim.rs. */
function engineParameters(runs: Run[]): unknown[] {
  const none = runs.map(() => null);
  return [
    runs.map(({ id }) => id),
    runs.map(({ runNo }) => runNo),
    runs.map(() => 'completed'),
    none,
    none,
    // Nothing was sent before.
    false,
    batchSize,
    'bare-loop',
    30_000,
    // Its answer is never lost.
    1,
    // Every look starts at the top, passes over what others are claiming, and starts at the beginning.
    2 ** 31,
    false,
    [],
    [],
    [],
  ];
}

/**
 * Has the package settle one job, of its own and before all others, and claim the next from a table that is
 * locked, and asks the server meanwhile what it sent.
 */
async function engineStatement(url: string, options: AnyProcessorOptions): Promise<string> {
  const queue = await initJobQueue({
    databaseConfig: { connectionString: url, application_name: applicationName },
  });
  await queue.addJob({ job_type: applicationName, payload: {}, priority: 1 });
  const text = await connected(url, async (client) => {
    let end = () => {};
    const processor = await new Promise<Processor>((begun) => {
      const handler = () =>
        new Promise<void>((resolve) => {
          end = resolve;
          begun(processor);
        });
      const one = { batchSize: 1, concurrency: 1, onError: () => {} };
      const processor = queue.createProcessor(
        { [applicationName]: handler },
        { ...options, ...one },
      );
      processor.startInBackground();
    });
    await client.query('begin; lock table job_queue in access exclusive mode');
    end();
    const waiting = await waitingStatement(url);
    // What it sends next, when this is cancelled, only settles.
    processor.stop();
    await query(url, 'select pg_cancel_backend($1)', [waiting.pid]);
    return waiting.query;
  });
  await queue.close();

  const values = new Set(text.match(/\$\d+/g)).size;
  if (values !== engineParameters([]).length) {
    throw new Error(
      `the package's statement takes ${values} values now: bring engineParameters up to date in ${import.meta.filename}. It is:\n${text}`,
    );
  }
  return text;
}

async function waitingStatement(url: string): Promise<{ pid: number; query: string }> {
  for (let attempt = 1; attempt < 500; attempt++) {
    const [waiting] = await query<{ pid: number; query: string }>(
      url,
      `select pid, query from pg_stat_activity
       where application_name = $1 and wait_event_type = 'Lock'
         and query ~ 'settled' and query ~ 'claimed'`,
      [applicationName],
    );
    if (waiting) return waiting;
    await delay(10);
  }
  throw new Error("the package's statement was not seen");
}
