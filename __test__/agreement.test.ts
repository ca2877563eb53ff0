/**
 * The engine is tested over a store in memory. That the SQL follows the same rules is shown here: what
 * generated stories asked of that store is asked of this server, and has to be answered alike.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';

const database = useDatabase();

test('the server answers as the store in memory does', async () => {
  const name = 'the_server_answers_as_the_store_in_memory_does';
  const { stdout } = await promisify(execFile)(
    'cargo',
    ['test', '--quiet', name, '--', '--ignored', '--nocapture'],
    {
      env: { ...process.env, JOB_QUEUE_TEST_DATABASE: database.url },
    },
  );
  expect(stdout).toMatch(/stories, \d+ commands/);
  expect(stdout).toContain('1 passed');
}, 600_000);
