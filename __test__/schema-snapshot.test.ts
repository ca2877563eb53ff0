/**
 * The schema that the migrations make, committed, so that a change of it is seen in review. After one
 * that is wanted: `npx vitest run schema-snapshot -u`.
 */
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { startPostgres } from '../tools/embedded-postgres.js';
import { cliOutput, migrations } from './helpers/cli.js';
import { createDatabase } from './helpers/database.js';
import { nodePgMigrate } from './helpers/node-pg-migrate.js';
import { describeSchema } from './helpers/schema.js';

async function expectSnapshot({ url }: { url: string }): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await expect(await describeSchema(client)).toMatchFileSnapshot('schema.snapshot.txt');
  } finally {
    await client.end();
  }
}

test('the schema of a migrated database is the committed one', async () => {
  await using database = await createDatabase();
  await expectSnapshot(database);
});

test('it is the same on Postgres 14', async () => {
  await using server = await startPostgres({ version: 14 });
  const database = { url: server.url() };
  await cliOutput(['migrate'], database);
  await expectSnapshot(database);
});

test('it is the same if node-pg-migrate made it', async () => {
  await using database = await createDatabase({ migrated: false });
  await nodePgMigrate(database.url);
  await expectSnapshot(database);
});

test('it is the same after migrations were reverted and applied again', async () => {
  await using database = await createDatabase();
  for (const [index] of migrations.entries()) {
    await cliOutput(['migrate', 'down', `${index + 1}`], database);
    await cliOutput(['migrate'], database);
    await expectSnapshot(database);
  }
});

test('a migration that is reverted leaves what was before it', async () => {
  await using database = await createDatabase({ migrated: false });
  const states: string[] = [];
  for (const file of migrations) {
    states.push(await describeSchema(database.pool));
    await nodePgMigrate(database.url, { file });
  }
  for (const state of states.reverse()) {
    await cliOutput(['migrate', 'down'], database);
    expect(await describeSchema(database.pool)).toBe(state);
  }
});
