import { describe, expect, test } from 'vitest';
import { useApp } from '../helpers/packages.js';

const source = `
  import { type JobHandlers, type JobQueue, initJobQueue, JobQueueError } from 'pg-bg-job-queue';
  import { withJobQueue } from 'pg-bg-job-queue/next';
  type Jobs = { greet: { name: string } };
  export const handlers: JobHandlers<Jobs> = { greet: async ({ name }) => console.log(name.length) };
  export async function use(): Promise<number> {
    const queue: JobQueue<Jobs> = await initJobQueue<Jobs>({ databaseConfig: {} });
    // @ts-expect-error: a payload of another shape
    await queue.addJob({ job_type: 'greet', payload: { name: 7 } }).catch((e) => e instanceof JobQueueError);
    return queue.addJob({ job_type: 'greet', payload: { name: 'Ada' } });
  }
  export default withJobQueue({ output: 'standalone' as const }).output;`;

const settings = (compilerOptions: object) => ({
  include: ['app.ts'],
  compilerOptions: {
    target: 'es2022',
    strict: true,
    noEmit: true,
    types: ['node'],
    ...compilerOptions,
  },
});

describe.each([
  ['5.4', { typescript: '5.4.5', '@types/node': '20.19.43' }, ['node10', 'node16', 'bundler']],
  ['6.0', { typescript: '6.0.3', '@types/node': '24.13.0' }, ['node16', 'bundler']],
  ['7.0', { typescript: '7.0.2', '@types/node': '24.13.0' }, ['node16', 'bundler']],
])('TypeScript %s', (_, dependencies, resolutions) => {
  const app = useApp({ dependencies, files: { 'app.ts': source } });
  const modules: Record<string, string> = {
    node10: 'commonjs',
    node16: 'node16',
    bundler: 'esnext',
  };

  test.each(
    resolutions.flatMap((moduleResolution) => [
      { moduleResolution, module: modules[moduleResolution], type: 'commonjs' },
      { moduleResolution, module: modules[moduleResolution], type: 'module' },
    ]),
  )(
    'finds correct types, without those of pg and with libraries checked: $moduleResolution, $type',
    async ({ type, ...compilerOptions }) => {
      await app.write({
        'tsconfig.json': settings(compilerOptions),
        'package.json': { name: 'app', type },
      });
      expect(await app.run('node', ['node_modules/typescript/bin/tsc', '-p', '.'])).toBe('');
    },
    60_000,
  );
});
