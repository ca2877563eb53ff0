/**
 * Gives what reads input from outside inputs that nobody thought of: `npm run fuzz -- [seconds] [target...]`.
 * Each target gets so many seconds (60); the first that finds something ends the run.
 *
 * Targets in Rust are driven by libFuzzer, which is guided by coverage and keeps what it learns in
 * `target/fuzz`. Those in TypeScript get seeds that fast-check has edited, and reduces to what matters.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import fc from 'fast-check';

const work = join(__dirname, '../target/fuzz');
const namesIn = (folder: string) =>
  readdirSync(join(__dirname, folder)).map((file) => parse(file).name.replaceAll('_', '-'));

const [seconds = '60', ...chosen] = process.argv.slice(2);
const isChosen = (name: string) => chosen.length === 0 || chosen.includes(name);

function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): void {
  const options = { cwd: __dirname, env: { ...process.env, ...env }, stdio: 'inherit' } as const;
  const { status, error } = spawnSync(command, args, options);
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** The stable compiler has all that this takes, but for the permission to use it. */
const instrumented = {
  RUSTC_BOOTSTRAP: '1',
  CARGO_TARGET_DIR: work,
  RUSTFLAGS: [
    '-Zsanitizer=address',
    '-Cpasses=sancov-module',
    '-Cllvm-args=-sanitizer-coverage-level=4',
    '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
    '-Cllvm-args=-sanitizer-coverage-pc-table',
    '-Cllvm-args=-sanitizer-coverage-trace-compares',
  ].join(' '),
};

function fuzzRust(names: string[]): void {
  const version = spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout;
  const triple = /host: (\S+)/.exec(version)?.[1] ?? '';
  // With a target named, build scripts and macros are not instrumented.
  run('cargo', ['build', '--release', '--target', triple], instrumented);
  for (const name of names) {
    const [learnt, seeds] = [join(work, 'corpus', name), join(__dirname, 'seeds', name)];
    mkdirSync(learnt, { recursive: true });
    run(join(work, triple, 'release', name), [
      ...(existsSync(seeds) ? [learnt, seeds] : [learnt]),
      `-max_total_time=${seconds}`,
      '-print_final_stats=1',
      `-artifact_prefix=${join(work, name)}-`,
    ]);
  }
}

/** A seed, in which words and signs were replaced, repeated, left out and put in. */
function edited(name: string): fc.Arbitrary<string> {
  const folder = join(__dirname, 'seeds', name);
  const seeds = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
  const words = seeds.map((seed) => seed.split(/\b|(?=[^\w])/));
  const word = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...new Set(words.flat())) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(...(':/@?#&=%\\\'"[] .*-_\n\r\t\u2028é😀'.match(/./gsu) ?? [])),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    { weight: 1, arbitrary: fc.nat(255).map((byte) => `%${byte.toString(16).padStart(2, '0')}`) },
  );
  const edit = fc.record({
    at: fc.nat(),
    remove: fc.nat(2),
    insert: fc.array(word, { maxLength: 2 }),
  });
  return fc
    .tuple(fc.constantFrom(...words), fc.array(edit, { maxLength: 6 }))
    .map(([seed, edits]) => {
      const text = [...seed];
      for (const { at, remove, insert } of edits) {
        text.splice(at % (text.length + 1), remove, ...insert);
      }
      return text.join('');
    });
}

async function fuzzTypeScript(name: string): Promise<void> {
  const { fuzz } = (await import(`./ts/${name}.ts`)) as { fuzz(input: string): void };
  let executions = 0;
  const property = fc.property(edited(name), (input) => {
    executions++;
    fuzz(input);
  });
  const limit = { interruptAfterTimeLimit: Number(seconds) * 1000, markInterruptAsFailure: false };
  fc.assert(property, { numRuns: Number.MAX_SAFE_INTEGER, ...limit });
  console.log(`${name}: ${executions} executions`);
}

async function main(): Promise<void> {
  for (const name of namesIn('ts').filter(isChosen)) await fuzzTypeScript(name);
  const rust = namesIn('rust').filter(isChosen);
  if (rust.length > 0) fuzzRust(rust);
}

void main();
