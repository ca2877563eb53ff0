import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
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
});
