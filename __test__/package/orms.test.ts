/** What the tools of ORMs do to a queue beside their own tables, as docs/orms.md tells it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { spawnScript } from '../helpers/child.js';
import { cliOutput } from '../helpers/cli.js';
import { useDatabase } from '../helpers/database.js';
import { outsideOfTests, useApp } from '../helpers/packages.js';
import { filesOf } from '../helpers/snippets.js';

const database = useDatabase({ migrated: false });

/** Settings that docs/orms.md has for a queue in `public`. */
const spared = {
  drizzle: "tablesFilter: ['!job_queue', '!job_queue_migrations'],",
  drizzleSchema: "export const jobQueueIds = pgSequence('job_queue_id_seq');",
  prisma: `experimental: { externalTables: true },
tables: { external: ['public.job_queue', 'public.job_queue_migrations'] },`,
};

const drizzleSchema = `
  import { pgSequence, pgTable, text } from 'drizzle-orm/pg-core';
  export const users = pgTable('users', { email: text().primaryKey() });`;

const drizzleConfig = filesOf('docs/orms.md')['drizzle.config.ts'] ?? '';

/**
 * Prisma's engine comes from npm in one form alone, the one that talks to the database through the driver of
 * node-postgres. It reads the catalogue, and two of the catalogue's types are none that this driver knows.
 */
const prismaConfig = (more = '') => `
  import { PrismaPg } from '@prisma/adapter-pg';
  import { Pool } from 'pg';
  import { defineConfig } from 'prisma/config';

  const [char, name, names] = [18, 19, 1003];
  const [chars, text, texts] = [1002, 25, 1009];
  const known = { [char]: chars, [name]: text, [names]: texts };
  const [character, characters] = [6, 70];

  class CataloguePool extends Pool {
    async query(...args) {
      const result = await super.query(...args);
      for (const field of result.fields) field.dataTypeID = known[field.dataTypeID] ?? field.dataTypeID;
      return result;
    }
  }
  const readingCharacters = (connection) => {
    const queryRaw = connection.queryRaw.bind(connection);
    connection.queryRaw = async (query) => {
      const result = await queryRaw(query);
      result.columnTypes = result.columnTypes.map((type) => (type === characters ? character : type));
      return result;
    };
    return connection;
  };
  const adapter = async () => {
    const pg = new PrismaPg(new CataloguePool({ connectionString: process.env.DATABASE_URL }));
    const connect = pg.connect.bind(pg);
    pg.connect = async () => readingCharacters(await connect());
    return pg;
  };
  const options = { ${more} };
  export default defineConfig({
    ...options,
    experimental: { ...options.experimental, adapter: true },
    engine: 'js',
    schema: './schema.prisma',
    adapter,
  });`;

const app = useApp({
  installed: false,
  dependencies: {
    'drizzle-kit': '0.31.11',
    'drizzle-orm': '0.45.4',
    prisma: '6.19.3',
    '@prisma/adapter-pg': '6.19.3',
    pg: '8.23.1',
  },
  files: {
    'lib/schema.ts': drizzleSchema,
    'schema.prisma': `
      datasource db {
        provider = "postgresql"
        url      = env("DATABASE_URL")
      }
      model User {
        email String @id
        @@map("users")
      }`,
    'drizzle.config.ts': drizzleConfig,
    'prisma.config.ts': prismaConfig(),
  },
});

const env = () => ({
  DATABASE_URL: database.directUrl,
  CHECKPOINT_DISABLE: '1',
  // Engines that are not used, and would be downloaded where these do not name a file.
  PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  PRISMA_QUERY_ENGINE_LIBRARY: process.execPath,
});

const prismaPush = (...flags: string[]) =>
  spawnScript(
    { file: join(app.folder, 'node_modules/prisma/build/index.js') },
    {
      args: ['db', 'push', '--skip-generate', ...flags],
      cwd: app.folder,
      env: { ...outsideOfTests, ...env() },
      timeoutMs: 60_000,
    },
  );

const pushByForce = {
  drizzle: () =>
    app.run('node', ['node_modules/drizzle-kit/bin.cjs', 'push', '--force'], { env: env() }),
  prisma: async () => {
    await using push = prismaPush('--accept-data-loss');
    // When it is done, it goes on waiting for a minute.
    await push.waitForLine(/database is now in sync/);
  },
};

/** A queue with a job in it. */
async function addQueue(schema: string): Promise<void> {
  await cliOutput(['migrate', '--database', database.directUrl, '--schema', schema]);
  await database.query(`select ${schema}.add_job('greet', '{}')`);
}

const jobsIn = (schema: string) => database.query(`select id::int from ${schema}.job_queue`);
const dropped = expect.objectContaining({ code: '42P01' });

beforeEach(async () => {
  await database.query('drop schema public cascade');
  await database.query('drop schema if exists jobs cascade');
  await database.query('create schema public');
  await database.query('create table users (email text primary key)');
  await database.query('create table legacy (id int)');
  await app.write({
    'drizzle.config.ts': drizzleConfig,
    'lib/schema.ts': drizzleSchema,
    'prisma.config.ts': prismaConfig(),
  });
});

describe.each(['drizzle', 'prisma'] as const)(
  '%s pushes its schema by force',
  (tool) => {
    test('and drops a queue in its own schema, with its jobs', async () => {
      await addQueue('public');
      await pushByForce[tool]();
      await expect(jobsIn('public')).rejects.toEqual(dropped);
    });

    test('and leaves a queue in a schema of its own alone', async () => {
      await addQueue('jobs');
      await pushByForce[tool]();
      await expect(database.query('select from legacy')).rejects.toEqual(dropped);
      expect(await jobsIn('jobs')).toHaveLength(1);
      await cliOutput(['migrate', 'status', '--database', database.directUrl, '--schema', 'jobs']);
    });

    test('and leaves a queue in its own schema alone if its configuration says so', async () => {
      await app.write({
        'drizzle.config.ts': drizzleConfig.replace('defineConfig({', `$&${spared.drizzle}`),
        'lib/schema.ts': `${drizzleSchema}\n${spared.drizzleSchema}`,
        'prisma.config.ts': prismaConfig(spared.prisma),
      });
      await addQueue('public');
      await pushByForce[tool]();
      await expect(database.query('select from legacy')).rejects.toEqual(dropped);
      expect(await jobsIn('public')).toHaveLength(1);
    });
  },
  120_000,
);

test('prisma asks first, if there are jobs', async () => {
  await addQueue('public');
  const { code, stdout, stderr } = await prismaPush().exited;
  expect(code).toBe(1);
  expect(stdout + stderr).toContain('about to drop the `job_queue` table');
  expect(await jobsIn('public')).toHaveLength(1);
});

test('what is spared is what the document says', () => {
  const document = readFileSync(join(__dirname, '../../docs/orms.md'), 'utf8');
  for (const setting of Object.values(spared)) expect(document).toContain(setting);
});
