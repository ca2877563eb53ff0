import { defineConfig } from 'vitest/config';

/** What asks nothing through a queue's own connections is the same in every mode. */
const withoutConnections = [
  'adoption',
  'arguments',
  'cli-arguments',
  'config',
  'describe-error',
  'migrate',
  'readme',
  'schema-snapshot',
  'types',
].map((name) => `__test__/${name}.test.ts`);

/** What brings a server, or a way to it, of its own. */
const withOwnConnections = [
  'connection.test.ts',
  'crash*.test.ts',
  'documented-privileges.test.ts',
  'half-open.test.ts',
  'injection.test.ts',
  'nextjs/**',
  'outages.test.ts',
  'package/**',
  'plans.test.ts',
  'pooler.test.ts',
  'privileges.test.ts',
  'secrets.test.ts',
  'serverless.test.ts',
  'tls.test.ts',
].map((name) => `__test__/${name}`);

/** By default each queue connects as it likes. The other modes are those of `__test__/helpers/modes.ts`. */
export default defineConfig(({ mode }) => ({
  test: {
    include: ['__test__/**/*.test.ts'],
    exclude:
      mode === 'pooler' || mode === 'one-connection'
        ? [...withoutConnections, ...withOwnConnections]
        : [],
    globalSetup: ['__test__/helpers/global-setup.ts'],
    reporters: [
      'default',
      './__test__/helpers/missing-programs-reporter.ts',
      './__test__/helpers/secrets-reporter.ts',
    ],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
}));
