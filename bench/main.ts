import { Server } from './database.js';
import { type Check, runFlat } from './flat/run.js';
import { describeMachine, isDebugBuild } from './machine.js';
import { type Options, parseOptions, usage } from './options.js';
import { describeRun, flatTable, ratioTable, tableOf } from './report.js';
import { writeFlatness, writeResults } from './results.js';
import { runScenario, type ScenarioResult } from './run.js';
import { scenarios } from './scenarios/index.js';

// Children end when this process does, and so does the server, which a process of its own watches.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

const startedAt = performance.now();

function progress(line: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0).padStart(5);
  console.log(`${seconds}s  ${line}`);
}

async function compare(options: Options): Promise<void> {
  const chosen = scenarios.filter(
    ({ name }) => options.only.length === 0 || options.only.includes(name),
  );
  await using server = await Server.start();
  const machine = await describeMachine(await server.version());
  console.log(`${describeRun(machine)}\n`);

  const results: ScenarioResult[] = [];
  for (const scenario of chosen) {
    const result = await runScenario(scenario, server, options, progress);
    results.push(result);
    console.log(`\n${tableOf(result)}\n`);
  }
  console.log(ratioTable(results));
  console.log(`\nWritten to ${await writeResults(machine, options, results)}`);
}

async function checkFlatness(options: Options): Promise<void> {
  const machine = await describeMachine('18 and 14');
  console.log(`${describeRun(machine)}\n`);
  const checks: Check[] = [];
  for (const version of [18, 14] as const) {
    checks.push(...(await runFlat(options, version, progress)));
  }
  console.log(`\n${flatTable(checks)}`);
  console.log(`\nWritten to ${await writeFlatness(machine, options, checks)}`);
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    console.log(usage);
  } else if (options === 'list') {
    for (const { name, title } of scenarios) console.log(`${name.padEnd(16)}${title}`);
  } else {
    const unknown = options.only.filter((name) => !scenarios.some((each) => each.name === name));
    if (unknown.length > 0) throw new Error(`there is no scenario ${unknown.join(', ')}`);
    if (!options.allowDebug && (await isDebugBuild())) {
      throw new Error(
        'this is a debug build of the package: run `npm run build` first, or give --allow-debug',
      );
    }
    await (options.flat ? checkFlatness(options) : compare(options));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
