import { describe, expect, expectTypeOf, test } from 'vitest';
import { withJobQueue } from '../next.js';

const external = { serverExternalPackages: ['pg-bg-job-queue'] };

test('an app without a configuration gets one', () => {
  expect(withJobQueue()).toEqual(external);
});

test('what is configured stays, and is not changed in place', () => {
  const config = { output: 'standalone', serverExternalPackages: ['sharp'] } as const;
  const given = { ...config, serverExternalPackages: [...config.serverExternalPackages] };
  expect(withJobQueue(given)).toEqual({
    output: 'standalone',
    serverExternalPackages: ['sharp', 'pg-bg-job-queue'],
  });
  expect(given).toEqual(config);
});

test('used twice, it is as used once', () => {
  expect(withJobQueue(withJobQueue({}))).toEqual(external);
});

test('the package is no longer one to transpile, which Next.js would refuse', () => {
  const config = withJobQueue({ transpilePackages: ['ui', 'pg-bg-job-queue'] });
  expect(config).toEqual({ ...external, transpilePackages: ['ui'] });
});

describe('a configuration that is a function', () => {
  test('gets its arguments', () => {
    const configure = withJobQueue((phase: string) => ({ env: { phase } }));
    expectTypeOf(configure).parameters.toEqualTypeOf<[string]>();
    expect(configure('phase-production-build')).toEqual({
      ...external,
      env: { phase: 'phase-production-build' },
    });
  });

  test('may be async', async () => {
    const configure = withJobQueue(async () => ({ reactStrictMode: true }));
    expect(await configure()).toEqual({ ...external, reactStrictMode: true });
  });
});
