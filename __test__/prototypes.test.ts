import { expect, test } from 'vitest';
import { runScript } from './helpers/child.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** What old libraries do to all arrays and objects. */
const polluted = `
  Array.prototype.toJSON = function () { return '[' + this.join() + ']'; };
  Object.prototype.toJSON = () => 'an object';
  const inherited = {
    jobType: 'inherited', unknownTypes: 'inherited', job_type: 'inherited', payload: 'inherited', priority: 'inherited', timeout_ms: 'inherited',
    db: 'inherited', jobs: 'inherited', id: 'inherited', verb: 'inherited', error: 'inherited', cancelled: true,
    concurrency: 'inherited', verbose: 'inherited', secret: 7, maxDuration: 'inherited', schema: 'inherited',
    host: 'inherited', ssl: 'inherited', sslmode: 'inherited', query: () => 'inherited', manager: 'inherited',
  };
  Object.assign(Object.prototype, inherited);
`;

const work = `
  const queue = await initJobQueue({ databaseConfig: { connectionString: process.env.DATABASE_URL } });
  const job = (job_type) => ({ job_type, payload: 0 });
  const types = ['well', 'throws', 'unknown'];
  const id = await queue.addJob(job('cancelled'));
  await queue.cancelJob(id);
  await queue.addJobs([job('cancelled'), job('cancelled')]);
  await queue.cancelAllUpcomingJobs({ job_type: 'cancelled' });
  await queue.addJob(job('well'));
  await queue.addJobs([job('throws'), job('unknown')]);
  await queue.addJobs(Array.from({ length: 1_001 }, () => job('well')));
  const handlers = { well: async () => {}, throws: async () => { throw new Error('no'); } };
  const told = [];
  const onJobFailed = (error) => told.push(error.message);
  const ran = await queue.createProcessor(handlers, { batchSize: 2_000, onJobFailed, unknownTypes: 'fail' }).start();
  await queue.addJob(job('well'));
  const { GET } = createRouteHandler(() => queue, handlers, { secret: 's' });
  const { status } = await GET(new Request('http://localhost', { headers: { authorization: 'Bearer s' } }));
  console.log(ran, told.sort().join(), status, (await queue.getJob(id)).status);
  console.log((await queue.addJob({}).catch((error) => error)).message);
  await queue.cleanupOldJobs(0);
  await queue.close();
`;

test.each([
  [
    'before',
    `${polluted} const { createRouteHandler, initJobQueue } = await import('pg-bg-job-queue');`,
  ],
  ['after', `import { createRouteHandler, initJobQueue } from 'pg-bg-job-queue'; ${polluted}`],
])(
  'what a library has set on all objects changes nothing, %s the package is loaded',
  async (_, source) => {
    const result = await runScript(source + work, { env: { DATABASE_URL: jobs.database.url } });
    const [told, refused, ...more] = result.stdout.split('\n');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(told).toBe('1004 No handler registered for job type: unknown,no 200 cancelled');
    expect(refused).toBe('addJob: job_type must be a string of 1 to 255 characters, got undefined');
    expect(more).toEqual(['']);
    expect(await jobs.statuses()).toEqual({ failed: 2, cancelled: 3 });
  },
);
