#!/usr/bin/env node

// The program `pg-bg-job-queue-cli`. Its work is done in cli/main.ts, which tests can call.

import { loadAddonWith } from './addon/native.js';
import { requireAddon } from './addon/require.js';
import { main } from './cli/main.js';

loadAddonWith(requireAddon);

// `--print-sql | head` closes the pipe early, which is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

main(process.argv.slice(2), process.env, {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
}).then((code) => {
  process.exitCode = code;
});
