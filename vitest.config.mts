import { defineConfig } from 'vitest/config';

/** What asks nothing through a queue's own connections is the same in every mode. */
const withoutConnections = [
  'adoption.test.ts',
  'arguments.test.ts',
  'cli-arguments.test.ts',
  // What a caller's client does; `clients/methods.test.ts` compares it with the queue's own connections.
  'clients/{documents,errors,recognition,transactions,wrapped-errors}.test.ts',
  'config.test.ts',
  'describe-error.test.ts',
  'glibc-floor.test.ts',
  'migrate.test.ts',
  'payload.test.ts',
  'readme.test.ts',
  'rooms.test.ts',
  'schema-snapshot.test.ts',
  'types.test.ts',
  'watching.test.ts',
];

/** What brings a server, or a way to it, of its own. */
const withOwnConnections = [
  'connection.test.ts',
  'crash-*.test.ts',
  'documented-privileges.test.ts',
  'garbage.test.ts',
  'half-open.test.ts',
  'injection.test.ts',
  'literals.test.ts',
  'nextjs/**',
  'outages.test.ts',
  'package/**',
  'plans.test.ts',
  'pooler.test.ts',
  'privileges.test.ts',
  'round-trips.test.ts',
  'secrets.test.ts',
  'serverless.test.ts',
  'store.test.ts',
  'tls.test.ts',
  'unwritable-payload.test.ts',
];

/** By default each queue connects as it likes. The other modes are those of `__test__/helpers/modes.ts`. */
export default defineConfig(({ mode }) => ({
  test: {
    include: ['__test__/**/*.test.ts'],
    exclude:
      mode === 'pooler' || mode === 'one-connection'
        ? [...withoutConnections, ...withOwnConnections].map((name) => `__test__/${name}`)
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
