/** node-pg-migrate, as a user of it would run the files of this package. */
import { runner } from 'node-pg-migrate';
import { migrationsFolder } from './cli.js';

type Options = Partial<Parameters<typeof runner>[0]>;

/** Applies what is missing, and resolves to the names. */
export async function nodePgMigrate(url: string, options: Options = {}): Promise<string[]> {
  const done = await runner({
    databaseUrl: url,
    dir: migrationsFolder,
    direction: 'up',
    migrationsTable: 'pgmigrations',
    log: () => {},
    // As its command line does by default.
    singleTransaction: true,
    ...options,
  } as Parameters<typeof runner>[0]);
  return done.map(({ name }) => name);
}
