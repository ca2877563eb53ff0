/** Arguments, a line each, are understood or refused in one line that tells no password. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { parseArgs } from 'node:util';
import { parseArguments, UsageError } from '../../ts/cli/arguments.js';
import { expectUntold } from '../secret.js';

export function fuzz(text: string): void {
  const argv = text.split('\n');
  try {
    check(argv, parseArguments(argv));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    ok(error.message.length > 0 && !error.message.includes('\n'));
    // What is told is the name of an option, and a word that could be a command.
    if (!argv.some((arg) => /^-|^\w[\w-]*$/.test(arg))) expectUntold(error.message);
  }
}

function check(argv: string[], command: ReturnType<typeof parseArguments>): void {
  const { values, positionals } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    options: {
      database: { type: 'string' },
      'env-file': { type: 'string' },
      schema: { type: 'string' },
      'print-sql': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
    },
  });
  switch (command.name) {
    case 'help':
    case 'version':
      ok(values[command.name]);
      return;
    case 'print-sql':
      strictEqual(command.schema, values.schema ?? 'public');
      deepStrictEqual(positionals, ['migrate']);
      return;
    case 'down':
      strictEqual(command.count, Number(positionals[2] ?? 1));
      ok(command.count >= 1 && command.count <= 1000);
  }
  strictEqual(command.target.schema, values.schema ?? 'public');
  strictEqual(command.target.database, values.database);
  strictEqual(command.target.envFile, values['env-file']);
  const action = command.name === 'migrate' ? [] : [command.name];
  deepStrictEqual(positionals.slice(0, 2), ['migrate', ...action]);
}
