/** Reads the command line. Decides nothing about databases, and prints nothing. */

import { parseArgs } from 'node:util';
import { resolveSchema } from '../config/config.js';
import { JobQueueError } from '../errors/job-queue-error.js';

/** The database to work on, as far as the command line names it. */
export interface Target {
  /** `--database` */
  readonly database: string | undefined;
  /** `--env-file` */
  readonly envFile: string | undefined;
  readonly schema: string;
}

export type Command =
  | { readonly name: 'help' | 'version' }
  | { readonly name: 'print-sql'; readonly schema: string }
  | { readonly name: 'migrate' | 'status'; readonly target: Target }
  | { readonly name: 'down'; readonly target: Target; readonly count: number };

/** The command line, or a file or variable that it names, is wrong. Exit code 2. */
export class UsageError extends Error {}

/** There is no command, so the user may not know which there are. Exit code 2. */
export class MissingCommandError extends UsageError {}

const OPTIONS = {
  database: { type: 'string' },
  'env-file': { type: 'string' },
  schema: { type: 'string' },
  'print-sql': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/** Reads the arguments behind the program's name. Throws `UsageError`, of which `MissingCommandError` is one. */
export function parseArguments(argv: readonly string[]): Command {
  const { values, positionals } = parse(argv);
  if (values.help) return { name: 'help' };
  if (values.version) return { name: 'version' };

  const [command, action, ...rest] = positionals;
  if (command === undefined) throw new MissingCommandError('a command is missing: migrate');
  if (command !== 'migrate') throw new UsageError(`unknown command${shown(command)}`);

  const schema = checkedSchema(values.schema);
  if (values['print-sql']) {
    if (action !== undefined) {
      throw new UsageError('--print-sql prints all migrations; it goes with migrate alone');
    }
    return { name: 'print-sql', schema };
  }
  const target = { database: values.database, envFile: values['env-file'], schema };
  return parseAction(action, rest, target);
}

function parseAction(action: string | undefined, rest: string[], target: Target): Command {
  if (action !== undefined && action !== 'status' && action !== 'down') {
    throw new UsageError(`unknown command migrate${shown(action)}`);
  }
  const [count, ...excess] = action === 'down' ? rest : [undefined, ...rest];
  if (excess[0] !== undefined) throw new UsageError(`one argument too many${shown(excess[0])}`);
  if (action === 'down') return { name: 'down', target, count: checkedCount(count) };
  return { name: action ?? 'migrate', target };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Node.js adds sentences or lines of advice that do not fit this program.
    const [problem = ''] = (error as Error).message.split(/\. |\.?\n/);
    throw new UsageError(problem.replace(/^[A-Z]/, (letter) => letter.toLowerCase()));
  }
}

/** Repeats a word that looks like a command, and no other: it may be a connection string without its option. */
function shown(word: string): string {
  return /^[a-z][\w-]{0,30}$/i.test(word) ? ` ${word}` : '';
}

function checkedSchema(schema: string | undefined): string {
  try {
    return resolveSchema(schema ?? 'public', '--schema');
  } catch (error) {
    throw error instanceof JobQueueError ? new UsageError(error.message) : error;
  }
}

const MOST_AT_ONCE = 1000;

function checkedCount(text: string | undefined): number {
  if (text === undefined) return 1;
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MOST_AT_ONCE) return count;
  throw new UsageError(`migrate down takes a number of migrations, 1 to ${MOST_AT_ONCE}`);
}
