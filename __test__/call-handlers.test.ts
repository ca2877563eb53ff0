import { describe, expect, test, vi } from 'vitest';
import { Journal, useJobs } from './helpers/jobs.js';

const jobs = useJobs();

describe('a handler', () => {
  test('is called with the payload and nothing else', async () => {
    const queue = await jobs.openQueue();
    const payload = { to: 'a@b.c', lines: [1, null, { deep: true }] };
    await queue.addJob({ job_type: 'job', payload });
    const handler = vi.fn(async () => {});

    await queue.createProcessor({ job: handler }).start();

    expect(handler).toHaveBeenCalledExactlyOnceWith(payload);
  });

  test.each([
    [null],
    [0],
    [-1.5e300],
    [''],
    [false],
    [[]],
    [{}],
    ['Grüße, "quoted" \\ \n 😀'],
    [JSON.parse('{ "__proto__": 1, "constructor": 2, "": { " ": [[], {}] } }')],
  ])('receives what was added: %j', async (payload) => {
    const queue = await jobs.openQueue();
    await queue.addJob({ job_type: 'job', payload });
    const received = new Journal();

    await queue.createProcessor({ job: async (given) => received.note(given) }).start();

    expect(received.notes).toEqual([payload]);
  });

  test('receives a payload of 2 MB', async () => {
    const queue = await jobs.openQueue();
    const payload = { text: 'a "漢"'.repeat(300_000) };
    await queue.addJob({ job_type: 'job', payload });
    const received = new Journal<typeof payload>();

    await queue.createProcessor({ job: async (given) => received.note(given) }).start();

    expect(received.notes[0]?.text === payload.text).toBe(true);
  });

  test.each([['lost'], ['constructor'], ['__proto__'], ['toString'], ['with "quotes" and \\']])(
    'that is missing fails its job and no other, with unknownTypes fail: %s',
    async (type) => {
      const queue = await jobs.openQueue();
      const before = await queue.addJob({ job_type: 'job', payload: 1 });
      const lost = await queue.addJob({ job_type: type, payload: 1 });
      const same = await queue.addJob({ job_type: type, payload: 1, priority: -1 });
      const after = await queue.addJob({ job_type: 'job', payload: 1 });
      const text = `No handler registered for job type: ${type}`;
      const processor = queue.createProcessor(
        { job: async () => {} },
        { batchSize: 3, unknownTypes: 'fail' },
      );

      expect(await processor.start()).toBe(3);

      const failed = await queue.getJob(lost);
      expect(failed).toMatchObject({ status: 'failed', attempts: 1, pending_reason: text });
      expect(failed?.error_history).toMatchObject([{ message: text }]);
      expect(failed?.next_attempt_at).toBeInstanceOf(Date);
      const untouched = { status: 'pending', attempts: 0, pending_reason: null };
      expect(await queue.getJob(same)).toMatchObject(untouched);
      for (const id of [before, after]) {
        expect(await queue.getJob(id)).toMatchObject({ status: 'completed', pending_reason: null });
      }

      // Once there is a handler, the reason is gone.
      await jobs.update('next_attempt_at = now()', lost);
      await queue.createProcessor(Object.fromEntries([[type, async () => {}]])).start();
      expect(await queue.getJob(lost)).toMatchObject({ status: 'completed', pending_reason: null });
    },
  );
});
