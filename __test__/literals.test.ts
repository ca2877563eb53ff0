/** Behind a pooler values travel as literals in the SQL: whatever they hold, they are values. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { JobQueue } from '../index.js';
import { cliOutput } from './helpers/cli.js';
import { createDatabase, type TestDatabase, useDatabase } from './helpers/database.js';
import { openQueue, rejection } from './helpers/queue.js';

const database = useDatabase();
beforeEach(() => database.query('truncate job_queue'));

const open = (on: TestDatabase, schema?: string) =>
  openQueue(on, { pooler: 'transaction', ...(schema !== undefined && { schema }) });

/** What ends a literal, an identifier, a statement or a message for somebody, whole and in pieces. */
const special = fc.constantFrom(
  ...[
    `'`,
    `''`,
    `"`,
    `""`,
    '\\',
    `\\'`,
    '\\\\',
    '$',
    '$$',
    '$1',
    '$2',
    '$10',
    '$tag$',
    `E'`,
    `U&'`,
  ],
  ...[
    '--',
    '/*',
    '*/',
    ';',
    '; drop table job_queue; --',
    '{',
    '}',
    '{}',
    ',',
    'NULL',
    'null',
    '(',
    ')',
  ],
  ...[
    '\n',
    '\r',
    '\t',
    '\b',
    '\u0001',
    '\u007f',
    '\u2028',
    '%s',
    '?',
    ':name',
    '{jobs}',
    '{schema}',
  ],
  ...[
    '\\u0041',
    '\\x27',
    '\\047',
    '\u02bc',
    '\u2019',
    '\uff07',
    '\ufeff',
    '\uffff',
    '😀',
    '\u{10ffff}',
  ],
);
const character = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 1 })
  .filter((unit) => unit !== '\0');
const text = fc.string({ unit: fc.oneof(special, character), minLength: 1, maxLength: 40 });

interface Sample {
  jobType: string;
  key: string;
  value: string;
  failure: string;
}
const samples = fc.uniqueArray(
  fc.record<Sample>({ jobType: text, key: text, value: text, failure: text }),
  { selector: ({ jobType }) => jobType, minLength: 20, maxLength: 40 },
);

/** Sends each text through every place that takes one, and looks for it in all places that show it. */
async function roundTrip(queue: JobQueue, on: TestDatabase, jobs: Sample[], workerId: string) {
  const ids = await queue.addJobs(
    jobs.map(({ jobType, key, value }) => ({ job_type: jobType, payload: { [key]: value } })),
  );
  const ran: Record<string, unknown> = Object.create(null);
  const handler = (jobType: string, failure: string) => async (payload: unknown) => {
    ran[jobType] = payload;
    throw new Error(failure);
  };
  const handlers: Record<string, (payload: unknown) => Promise<void>> = Object.create(null);
  for (const { jobType, failure } of jobs) handlers[jobType] = handler(jobType, failure);
  const options = { workerId, jobType: jobs.map(({ jobType }) => jobType), batchSize: jobs.length };
  expect(await queue.createProcessor(handlers, options).start()).toBe(jobs.length);

  const stored = await on.query(
    `select id::int, job_type, payload, locked_by, error_history -> 0 ->> 'message' as failure
    from job_queue where id = any($1) order by id`,
    [ids],
  );
  const expected = jobs.map(({ jobType, key, value, failure }, n) => ({
    id: ids[n],
    job_type: jobType,
    payload: { [key]: value },
    locked_by: workerId,
    failure,
  }));
  expect(stored).toEqual(expected);
  // Not sorted: a payload may be what cannot be turned into a string.
  expect(new Map(Object.entries(ran))).toEqual(
    new Map(jobs.map(({ jobType, key, value }) => [jobType, { [key]: value }])),
  );
  const shown = await queue.getAllJobs(jobs.length);
  expect(shown.map(({ job_type }) => job_type).sort()).toEqual(
    jobs.map(({ jobType }) => jobType).sort(),
  );
}

const fuzz = (queue: JobQueue, on: TestDatabase, numRuns: number) =>
  fc.assert(
    fc.asyncProperty(samples, text, async (jobs, workerId) => {
      await on.query('truncate job_queue');
      await roundTrip(queue, on, jobs, workerId);
    }),
    // What fails is told at once: to shrink it takes longer than a test may.
    { numRuns, endOnFailure: true },
  );

describe('what goes in comes back', () => {
  test.each(['on', 'off'])('with standard_conforming_strings %s', async (setting) => {
    await using other = await createDatabase();
    for (const [name, value] of [
      ['standard_conforming_strings', setting],
      ['backslash_quote', 'off'],
    ]) {
      await other.query(`alter database ${other.name} set ${name} = ${value}`);
    }
    await using queue = await open(other);
    await fuzz(queue, other, 20);
  });

  test('in a database without an encoding', async () => {
    await using other = await createDatabase({ migrated: false, encoding: 'SQL_ASCII' });
    await cliOutput(['migrate'], { url: other.directUrl });
    await using queue = await open(other);
    await fuzz(queue, other, 20);
  });

  test('and filters find that alone', async () => {
    await using queue = await open(database);
    const types = fc.uniqueArray(text, { minLength: 2, maxLength: 8 });
    const property = fc.asyncProperty(types, async (types) => {
      await database.query('truncate job_queue');
      await queue.addJobs(types.map((job_type) => ({ job_type, payload: null })));
      const cancel = () =>
        Promise.all(types.map((job_type) => queue.cancelAllUpcomingJobs({ job_type })));
      expect(await cancel()).toEqual(types.map(() => 1));
      expect(await cancel()).toEqual(types.map(() => 0));
    });
    await fc.assert(property, { numRuns: 10 });
  });

  test.each([
    ['quotes', `'`],
    ['backslashes', '\\'],
    ['both', `\\'`],
    ['dollars', '$1'],
    ['what takes four bytes', '😀'],
  ])('however long it is, of %s', async (_, unit) => {
    await using queue = await open(database);
    const payload = { [unit.repeat(10_000)]: unit.repeat(300_000) };
    const id = await queue.addJob({ job_type: 'long', payload });
    expect((await queue.getJob(id))?.payload).toEqual(payload);
  });

  test.each(['$1', 'a"$1', `a'$1`, `$1 "'$2' \\`, '{jobs}', 'E$1'])(
    'from the schema %o',
    async (schema) => {
      await using bare = await createDatabase({ migrated: false });
      await cliOutput(['migrate', '--schema', schema], { url: bare.directUrl });
      await using queue = await open(bare, schema);
      const job_type = `"; drop table job_queue; -- '`;
      const id = await queue.addJob({ job_type, payload: '$1' });
      expect(await queue.cancelAllUpcomingJobs({ job_type: `${job_type} ` })).toBe(0);
      expect(await queue.getJob(id)).toMatchObject({ id, job_type, payload: '$1' });
    },
  );
});

describe('what an encoding cannot hold', () => {
  test('is refused, and nothing beside it', async () => {
    await using latin = await createDatabase({ migrated: false, encoding: 'LATIN1' });
    await cliOutput(['migrate'], { url: latin.directUrl });
    await using queue = await open(latin);
    const job = (payload: string) => queue.addJob({ job_type: 'job', payload });
    const fits = Array.from({ length: 95 }, (_, n) => String.fromCharCode(0xa1 + n));
    const added = await Promise.allSettled([...fits.slice(0, 50), '€', ...fits.slice(50)].map(job));
    const refused = added.filter(({ status }) => status === 'rejected');
    expect(refused).toEqual([added[50]]);
    const error = await rejection(job('😀'), 'INVALID_PAYLOAD', /encoding of the database/);
    expect(error.sqlState).toBe('22P05');
    const rows = await latin.query('select payload from job_queue order by id');
    expect(rows.map(({ payload }) => payload).sort()).toEqual(fits.sort());
    expect(await queue.cancelAllUpcomingJobs({ job_type: 'job' })).toBe(fits.length);
  });
});
