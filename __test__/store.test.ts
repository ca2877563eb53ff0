/**
 * The tests of the store that need a server are written in Rust, where the statements are: among them,
 * that the SQL follows the rules of the store in memory, over which the engine is tested.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { useDatabase } from './helpers/database.js';

const database = useDatabase();

test('the store does what its tests ask of it', async () => {
  // What a test has to say goes to the standard output, and that would be left out of an error.
  const { stdout } = await promisify(execFile)(
    'cargo',
    ['test', '--quiet', 'store::tests', '--', '--ignored', '--test-threads', '1'],
    { env: { ...process.env, JOB_QUEUE_TEST_DATABASE: database.url } },
  ).catch((error: { stdout: string }) => error);
  expect(stdout).toContain('4 passed; 0 failed');
}, 600_000);
