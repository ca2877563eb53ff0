/** Runs one command of the CLI, and says in a line or two how it went. */

import { version } from '../../package.json';
import type { ConnectionSettings } from '../addon/native.js';
import { call, native } from '../addon/native.js';
import {
  type Command,
  MissingCommandError,
  parseArguments,
  type Target,
  UsageError,
} from './arguments.js';
import { FALLBACK, resolveTarget, VARIABLE } from './target.js';

/** The outputs of the program. */
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

interface Migrated {
  readonly applied: string[];
  /** Applied earlier, by node-pg-migrate. */
  readonly recognised: string[];
  /** Applied earlier, and applied again, because the schema has another name since. */
  readonly renewed: string[];
}

const PROGRAM = 'pg-bg-job-queue-cli';

const HELP = `Usage: ${PROGRAM} migrate [status | down [n]] [options]

  migrate            apply the migrations that the database lacks
  migrate status     list the migrations and when each was applied
  migrate down [n]   revert the last n migrations (default 1) without asking;
                     the data that they hold is deleted, jobs included

Options:
  --database URL     postgresql://user:password@host:port/database
  --env-file FILE    read variables from FILE; those that are set already win;
                     $NAME, \${NAME} and \${NAME:-default} are replaced
  --schema NAME      the schema that holds the tables (default public): that
                     of initJobQueue's option schema
  --print-sql        with migrate: print its SQL in full and do nothing else
  -h, --help         print this
  -v, --version      print the version

The database is that of --database, else of ${VARIABLE}, else of
${FALLBACK}. Variables are read from the environment, then from FILE.
A ?schema= in it has no effect: use --schema.

Exit codes: 0 done, 1 failed, 2 wrong usage. Where FILE does not exist, Node.js
itself says so, and ends with 9.
`;

/** Runs the CLI with the arguments behind its name. Resolves to the exit code and never rejects. */
export async function main(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  output: Output,
): Promise<0 | 1 | 2> {
  try {
    const text = await run(parseArguments(argv), (target) => settingsOf(target, env, output));
    output.stdout(text);
    return 0;
  } catch (error) {
    output.stderr(`${PROGRAM}: ${messageOf(error)}\n`);
    if (!(error instanceof UsageError)) return 1;
    const isLost = error instanceof MissingCommandError;
    output.stderr(isLost ? `\n${HELP}` : `Run ${PROGRAM} --help to see how it is used.\n`);
    return 2;
  }
}

/** Finds the database. Says so if it comes from a variable that was not made for this program. */
function settingsOf(target: Target, env: NodeJS.ProcessEnv, output: Output): ConnectionSettings {
  const { settings, source } = resolveTarget(target, env);
  if (source === FALLBACK) {
    output.stderr(`${PROGRAM}: ${VARIABLE} is not set, so the database is that of ${FALLBACK}\n`);
  }
  return settings;
}

async function run(
  command: Command,
  resolve: (target: Target) => ConnectionSettings,
): Promise<string> {
  switch (command.name) {
    case 'help':
      return HELP;
    case 'version':
      return lines([version]);
    case 'print-sql':
      return lines([native().migrationSql(command.schema).trimEnd()]);
    case 'migrate':
      return migrate(resolve(command.target), command.target.schema);
    case 'status':
      return status(resolve(command.target), command.target.schema);
    case 'down':
      return down(resolve(command.target), command.target.schema, command.count);
  }
}

async function migrate(settings: ConnectionSettings, schema: string): Promise<string> {
  const { applied, recognised, renewed } = await asked<Migrated>(
    native().migrate(settings, schema),
  );
  const done = [
    ...recognised.map((name) => `recognised  ${name} (applied earlier by node-pg-migrate)`),
    ...applied.map((name) => `applied     ${name}`),
    ...renewed.map((name) => `renewed     ${name}`),
  ];
  if (done.length === 0) return upToDate(settings, schema);
  return lines([
    ...done,
    applied.length > 0
      ? `Done: ${counted(applied.length)} applied.`
      : 'Nothing else to do: the schema is up to date.',
  ]);
}

async function upToDate(settings: ConnectionSettings, schema: string): Promise<string> {
  const { length } = await migrationsOf(settings, schema);
  return lines([`Nothing to do: the schema is up to date (${counted(length)}).`]);
}

async function status(settings: ConnectionSettings, schema: string): Promise<string> {
  const migrations = await migrationsOf(settings, schema);
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

async function down(settings: ConnectionSettings, schema: string, count: number): Promise<string> {
  const { reverted } = await asked<{ reverted: string[] }>(
    native().migrateDown(settings, schema, count),
  );
  return lines([
    ...reverted.map((name) => `reverted    ${name}`),
    reverted.length > 0
      ? `Done: ${counted(reverted.length)} reverted.`
      : 'Nothing to do: no migration is applied.',
  ]);
}

/** Awaits an answer of the addon, which is JSON. */
async function asked<T>(answer: Promise<string>): Promise<T> {
  return JSON.parse(await call(answer));
}

function counted(migrations: number): string {
  return migrations === 1 ? '1 migration' : `${migrations} migrations`;
}

function lines(texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}

/** The message of an error in one line, without the connection strings that a driver or the system put into it. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\b(?!https?:)(\w+:\/\/)\S+/g, '$1...').replace(/\s*\n\s*/g, ' ');
}
