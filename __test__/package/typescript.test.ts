import { describe, expect, test } from 'vitest';
import { useApp } from '../helpers/packages.js';

const source = `
  import { type JobHandlers, type JobQueue, initJobQueue, JobQueueError } from 'pg-bg-job-queue';
  import { withJobQueue } from 'pg-bg-job-queue/next';
  type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
  type Jobs = { greet: { name: string }; remind: { at: Date; more: Json } };
  export const handlers: JobHandlers<Jobs> = { greet: async ({ name }) => console.log(name.length),
    remind: async ({ at }) => console.log(at.length) };
  export async function use(): Promise<number> {
    const queue: JobQueue<Jobs> = await initJobQueue<Jobs>({ databaseConfig: {} });
    // @ts-expect-error: a payload of another shape
    await queue.addJob({ job_type: 'greet', payload: { name: 7 } }).catch((e) => e instanceof JobQueueError);
    // @ts-expect-error: a payload of the other type
    await queue.addJob({ job_type: 'greet' as 'greet' | 'remind', payload: { name: 'Ada' } });
    await queue.addJob({ job_type: 'remind', payload: { at: new Date(), more: [{ a: [1] }] } });
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

const node20 = { '@types/node': '20.19.43' };

describe.each([
  ['5.4', { typescript: '5.4.5', ...node20 }, ['node10', 'node16', 'bundler']],
  ['7.0', { typescript: '7.0.2', ...node20 }, ['node16', 'bundler']],
])('TypeScript %s', (_, dependencies, resolutions) => {
  const app = useApp({
    dependencies,
    files: { 'app.ts': source, 'package.json': { name: 'app', type: 'module' } },
  });

  test.each(resolutions)(
    'finds correct types, without those of pg and with libraries checked, by the resolution of %s',
    async (moduleResolution) => {
      const modules: Record<string, string> = { node10: 'commonjs', bundler: 'esnext' };
      const module = modules[moduleResolution] ?? moduleResolution;
      await app.write({ 'tsconfig.json': settings({ module, moduleResolution }) });
      expect(await app.run('node', ['node_modules/typescript/bin/tsc', '-p', '.'])).toBe('');
    },
    240_000,
  );
});
