/** Prisma's generated clients, which a checkout does not hold. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(__dirname, '../..');

/** Where the packages of each version are: npm has one of a name, so the older one goes by an alias. */
const versions = {
  6: { cli: 'prisma-6', runtime: '@prisma/client-6', generator: 'engineType = "client"' },
  7: { cli: 'prisma', runtime: '@prisma/client', generator: '' },
} as const;

/**
 * The folder of a client with a model `User` of the table `users`, made when it is first asked for.
 * Of version 6 it is the one without an engine in Rust, as all are of version 7.
 */
export async function prismaFolder(version: keyof typeof versions): Promise<string> {
  const { cli, runtime, generator } = versions[version];
  const packages = join(root, 'node_modules');
  const folder = join(root, 'target/prisma', String(version));
  const { version: release } = require(join(packages, cli, 'package.json'));
  const stamp = (of: string) => join(of, `made-by-${release}`);
  if (existsSync(stamp(folder))) return folder;
  await rm(folder, { recursive: true, force: true });

  const draft = `${folder}-${randomUUID()}`;
  await mkdir(join(draft, 'node_modules/@prisma'), { recursive: true });
  // The generated code imports @prisma/client, and has to find the one of its version.
  await symlink(join(packages, runtime), join(draft, 'node_modules/@prisma/client'), 'junction');
  await writeFile(
    join(draft, 'schema.prisma'),
    `generator client {
      provider     = "prisma-client"
      output       = "./client"
      moduleFormat = "cjs"
      ${generator}
    }
    datasource db {
      provider = "postgresql"
      ${version === 6 ? 'url = env("DATABASE_URL")' : ''}
    }
    model User {
      id    Int    @id @default(autoincrement())
      email String @unique
      @@map("users")
    }`,
  );
  await promisify(execFile)(
    process.execPath,
    [join(packages, cli, 'build/index.js'), 'generate', '--schema', join(draft, 'schema.prisma')],
    // Engines that generating never starts, and would download where these do not name a file.
    {
      cwd: draft,
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
        PRISMA_QUERY_ENGINE_LIBRARY: process.execPath,
        CHECKPOINT_DISABLE: '1',
      },
    },
  );
  await writeFile(stamp(draft), '');
  // Another test file may have been faster.
  await rename(draft, folder).catch(() => rm(draft, { recursive: true }));
  return folder;
}
