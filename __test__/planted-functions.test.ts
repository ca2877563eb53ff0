/**
 * A role that may create in the schema of the queue, as everybody may in `public` before Postgres 15, leaves
 * functions and operators there that fit the arguments of a call better than Postgres's own. No
 * statement of the package finds one: it would run with the rights of the role that sent the statement.
 *
 * Found ones are removed, and all is done again, so that a failure lists all of them at once, each with the
 * statement that found it.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, startPostgres } from '../tools/embedded-postgres.js';
import { cli } from './helpers/cli.js';
import { doEverything, type Role } from './helpers/everything.js';
import { calledNames, foundAs, plant, uproot } from './helpers/plants.js';

const schema = 'jobs';
/** Names that a pattern which found less than there is would not have. */
const amongThem = ['now', 'pg_notify', 'json_build_object', 'power', 'count', 'isfinite', 'format'];
/** At least this many are planted, or the planting is at fault. */
const many = 5_000;

let server: EmbeddedPostgres;
let owner: Client;
let position = 0;

const urlOf = (user: string) =>
  Object.assign(new URL(server.url()), { username: user, password: 'secret' }).href;

beforeAll(async () => {
  server = await startPostgres({ settings: { log_line_prefix: '@@%u@@', log_statement: 'none' } });
  owner = new Client({ connectionString: server.url() });
  await owner.connect();
  await owner.query(`
    create role planter login password 'secret';
    create role migrator login password 'secret';
    create role worker login password 'secret';
    create schema ${schema};
    grant create, usage on schema ${schema} to planter, migrator;
    grant usage on schema ${schema} to worker;
    alter role migrator set search_path = ${schema};
    alter role worker set search_path = ${schema}`);
  expect(await plant(urlOf('planter'), schema)).toBeGreaterThan(many);
}, 120_000);
afterAll(async () => {
  await owner?.end();
  await server?.stop();
});

interface Found {
  /** As a refusal names it: a function, or an operator between its types. */
  name: string;
  statement: string;
}

/** The planted objects that a role's statements found, by the server's log since the last time. */
function foundBy(user: string): { found: Found[]; errors: string[] } {
  const file = openSync(server.logFile, 'r');
  const buffer = Buffer.alloc(statSync(server.logFile).size - position);
  position += readSync(file, buffer, 0, buffer.length, position);
  closeSync(file);
  const entries = buffer.toString().split(/^@@/m);
  const found: Found[] = [];
  const errors: string[] = [];
  entries.forEach((entry, at) => {
    const [, role, message] = /^(\w*)@@ERROR: {2}(.*)/.exec(entry) ?? [];
    if (role !== user || message === undefined) return;
    const rest = entries.slice(at + 1, at + 4);
    const statement = rest.find((next) => next.startsWith(`${user}@@STATEMENT: `)) ?? '';
    const name = foundAs(message);
    if (name !== undefined) found.push({ name, statement: brief(statement) });
    // The step that reads row by row has one that cannot be read.
    else if (!message.startsWith('division by zero'))
      errors.push(`${message}\n${brief(statement)}`);
  });
  return { found, errors };
}

const brief = (statement: string) =>
  statement
    .replace(/^\w+@@STATEMENT: /, '')
    .replace(/\s+/g, ' ')
    .slice(0, 160);

/** Repeats `act` until it finds nothing planted, and returns the objects that it found. */
async function allThatIsFound(user: string, act: () => Promise<unknown[]>): Promise<Found[]> {
  const all: Found[] = [];
  const seen = new Set<string>();
  for (;;) {
    foundBy(user);
    const failures = await act();
    const { found, errors } = foundBy(user);
    const names = new Set(found.map(({ name }) => name).filter((name) => !seen.has(name)));
    if (names.size === 0) {
      if (all.length === 0) expect([...failures, ...errors]).toEqual([]);
      return [...all, ...found];
    }
    all.push(...found);
    for (const name of names) {
      seen.add(name);
      await uproot(owner, schema, name);
    }
  }
}

async function migrate(...args: string[]): Promise<string> {
  const { stderr } = await cli(['migrate', ...args, '--schema', schema], {
    url: urlOf('migrator'),
  });
  return stderr;
}

test('the names are those of the statements', () => {
  expect(calledNames()).toEqual(expect.arrayContaining(amongThem));
});

describe('nothing that was planted is found', { timeout: 600_000 }, () => {
  test('by the migrations', async () => {
    const found = await allThatIsFound('migrator', async () => {
      const said = [await migrate(), await migrate('status'), await migrate('down', '3')];
      return [...said, await migrate()].filter(Boolean);
    });
    expect(found).toEqual([]);
  });

  test.each<Role['pooler']>(['none', 'transaction'])('with pooler %s', async (pooler) => {
    expect(await migrate()).toBe('');
    await owner.query(`grant select, insert, update, delete on ${schema}.job_queue to worker;
      grant usage on sequence ${schema}.job_queue_id_seq to worker`);
    const hand = { query: async (sql: string) => (await owner.query(sql)).rows };
    const role: Role = { url: urlOf('worker'), schema, pooler };
    expect(await allThatIsFound('worker', () => doEverything(role, hand))).toEqual([]);
  });
});
