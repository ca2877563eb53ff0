// Runs one command of the CLI and says in a line or two how it went.

import { version } from '../../package.json';
import type { ConnectionSettings } from '../config.js';
import { call, native } from '../native.js';
import { type Command, parseArguments, type Target, UsageError } from './arguments.js';
import { resolveTarget, VARIABLE } from './target.js';

/** Where the program writes. */
export interface Output {
  stdout(text: string): void;
  stderr(text: string): void;
}

interface Migration {
  readonly name: string;
  /** `null` if it is not applied. */
  readonly appliedAt: number | null;
  /** Applied by a newer version of this package. */
  readonly unknown: boolean;
}

const PROGRAM = 'pg-bg-job-queue-cli';

const HELP = `Usage: ${PROGRAM} migrate [status | down [n]] [options]

  migrate            apply the migrations that the database lacks
  migrate status     list the migrations and when each was applied
  migrate down [n]   revert the last n migrations (default 1), data included

Options:
  --database URL     postgresql://user:password@host:port/database
  --env-file FILE    read variables from FILE; those that are set already win;
                     $NAME, \${NAME} and \${NAME:-default} are replaced
  --schema NAME      the schema that holds the tables (default public)
  --print-sql        with migrate: print its SQL in full and do nothing else
  -h, --help         print this
  -v, --version      print the version

The database is that of --database, else of the environment variable
${VARIABLE}, else of that variable in FILE.

Exit codes: 0 done, 1 failed, 2 wrong usage.
`;

/** Runs the CLI with the arguments behind its name. Resolves to the exit code and never rejects. */
export async function main(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  output: Output,
): Promise<0 | 1 | 2> {
  try {
    const text = await run(parseArguments(argv), env);
    output.stdout(text);
    return 0;
  } catch (error) {
    const misused = error instanceof UsageError;
    output.stderr(`${PROGRAM}: ${messageOf(error)}\n`);
    if (misused) output.stderr(`Run ${PROGRAM} --help to see how it is used.\n`);
    return misused ? 2 : 1;
  }
}

async function run(command: Command, env: NodeJS.ProcessEnv): Promise<string> {
  switch (command.name) {
    case 'help':
      return HELP;
    case 'version':
      return lines([version]);
    case 'print-sql':
      return lines([native().migrationSql(command.schema).trimEnd()]);
    case 'migrate':
      return migrate(command.target, env);
    case 'status':
      return status(command.target, env);
    case 'down':
      return down(command.target, command.count, env);
  }
}

async function migrate(target: Target, env: NodeJS.ProcessEnv): Promise<string> {
  const settings = resolveTarget(target, env);
  const { applied, recognised } = await asked<{ applied: string[]; recognised: string[] }>(
    native().migrate(settings, target.schema),
  );
  if (applied.length + recognised.length === 0) return upToDate(settings, target.schema);
  return lines([
    ...recognised.map((name) => `recognised  ${name} (applied earlier by node-pg-migrate)`),
    ...applied.map((name) => `applied     ${name}`),
    applied.length > 0
      ? `Done: ${counted(applied.length)} applied.`
      : 'Nothing else to do: the schema is up to date.',
  ]);
}

async function upToDate(settings: ConnectionSettings, schema: string): Promise<string> {
  const { length } = await migrationsOf(settings, schema);
  return lines([`Nothing to do: the schema is up to date (${counted(length)}).`]);
}

async function status(target: Target, env: NodeJS.ProcessEnv): Promise<string> {
  const migrations = await migrationsOf(resolveTarget(target, env), target.schema);
  const known = migrations.filter(({ unknown }) => !unknown);
  const applied = known.filter(({ appliedAt }) => appliedAt !== null);
  const column = (text: string) => text.padEnd(TIME_WIDTH);
  return lines([
    `${column('APPLIED AT')}  MIGRATION`,
    ...migrations.map(({ name, appliedAt, unknown }) => {
      const origin = unknown ? ' (of a newer version)' : '';
      return `${column(moment(appliedAt))}  ${name}${origin}`;
    }),
    `${applied.length} of ${counted(known.length)} applied.`,
  ]);
}

function migrationsOf(settings: ConnectionSettings, schema: string): Promise<Migration[]> {
  return asked(native().migrationStatus(settings, schema));
}

const TIME_WIDTH = '2025-01-01 00:00:00Z'.length;

function moment(epochMs: number | null): string {
  if (epochMs === null) return 'not applied';
  return new Date(epochMs).toISOString().replace('T', ' ').replace(/\.\d+/, '');
}

async function down(target: Target, count: number, env: NodeJS.ProcessEnv): Promise<string> {
  const settings = resolveTarget(target, env);
  const { reverted } = await asked<{ reverted: string[] }>(
    native().migrateDown(settings, target.schema, count),
  );
  return lines([
    ...reverted.map((name) => `reverted    ${name}`),
    reverted.length > 0
      ? `Done: ${counted(reverted.length)} reverted.`
      : 'Nothing to do: no migration is applied.',
  ]);
}

/** What the native side answers, which is JSON. */
async function asked<T>(answer: Promise<string>): Promise<T> {
  return JSON.parse(await call(answer));
}

function counted(migrations: number): string {
  return migrations === 1 ? '1 migration' : `${migrations} migrations`;
}

function lines(texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

/** One line, and no connection string, whatever a driver or the system put into its message. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\b(?!https?:)(\w+:\/\/)\S+/g, '$1...').replace(/\s*\n\s*/g, ' ');
}
