import fc from 'fast-check';
import { expect, test } from 'vitest';
import { measure } from '../ts/payload/size.js';
import { useJobs } from './helpers/jobs.js';

const jobs = useJobs();

/** How many bytes the text has that Postgres writes a payload as: what `add_job` holds to. */
async function writtenBytes(texts: string[]): Promise<number[]> {
  const rows = await jobs.database.query<{ bytes: number }>(
    'select octet_length(text::jsonb::text) as bytes from unnest($1::text[]) with ordinality as given (text, n) order by n',
    [texts],
  );
  return rows.map(({ bytes }) => bytes);
}

const NUMBERS = [0, -1.5, 1e21, 1.5e21, -1.2345e-7, 1e308, 5e-324, -2.2250738585072014e-308];

test('a payload is measured as Postgres writes it, to the byte', async () => {
  const storable = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'));
  const value = fc.jsonValue({ stringUnit: 'grapheme' });
  const payload = fc.oneof(value, storable, fc.double({ noNaN: true, noDefaultInfinity: true }));
  const payloads = [
    ...NUMBERS,
    NUMBERS,
    [[], {}, [[]], { a: {} }, ['', { '': '' }]],
    ['"', '\\', '\\"', ',:[{', '1e308', '\u0001\n\u007f\u2028漢😀'],
    ...fc.sample(payload, 500),
  ];
  const texts = payloads.map((each) => JSON.stringify(each));
  const written = await writtenBytes(texts);
  texts.forEach((text, at) => {
    expect({ text, bytes: measure(text).textBytes }).toEqual({ text, bytes: written[at] });
  });
});

test('what is refused is what Postgres would write as more than 64 MiB', async () => {
  const queue = await jobs.openQueue();
  const most = Math.floor((64 * 1024 * 1024) / 311);
  const add = (count: number) =>
    queue.addJob({ job_type: 'job', payload: new Array(count).fill(1e308) });
  const id = await add(most);
  const [row] = await jobs.database.query<{ bytes: number }>(
    'select octet_length(payload::text) as bytes from job_queue where id = $1',
    [id],
  );
  expect(row?.bytes).toBe(311 * most);
  await expect(add(most + 1)).rejects.toMatchObject({
    code: 'INVALID_PAYLOAD',
    message:
      'addJob: payload is too large: Postgres would write it as more than 67108864 bytes of text',
  });
});

test('many jobs together may become 256 MiB', async () => {
  const queue = await jobs.openQueue();
  const payload = new Array(200_000).fill(1e308);
  const job = { job_type: 'job', payload };
  await expect(queue.addJobs(new Array(5).fill(job))).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message:
      'addJobs: the payloads together must have at most 268435456 bytes of text, as Postgres writes them',
  });
  expect(await jobs.rows()).toEqual([]);
});
