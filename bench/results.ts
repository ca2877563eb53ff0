/** Results as files: all figures as JSON, and a chart for each metric. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { drawChart } from './chart.js';
import type { Check } from './flat/run.js';
import type { Machine } from './machine.js';
import type { Options } from './options.js';
import { format, type ScenarioResult } from './run.js';

const folder = join(import.meta.dirname, 'results');

/** Returns where they are. */
export async function writeResults(
  machine: Machine,
  options: Options,
  results: ScenarioResult[],
): Promise<string> {
  const target = await makeFolder(options, machine.build);
  await writeJson(join(target, 'latest.json'), { machine, options, scenarios: results });
  for (const result of results) await writeCharts(target, result);
  return relative(process.cwd(), target);
}

export async function writeFlatness(
  machine: Machine,
  options: Options,
  checks: Check[],
): Promise<string> {
  const target = await makeFolder(options, machine.build);
  await writeJson(join(target, 'flat.json'), { machine, options, checks });
  return relative(process.cwd(), target);
}

/** Only a complete run replaces the results that are kept. */
async function makeFolder(options: Options, build: Machine['build']): Promise<string> {
  const isComplete =
    build === 'release' && !options.quick && options.only.length === 0 && options.rounds >= 5;
  const target = isComplete ? folder : join(folder, 'partial');
  await mkdir(target, { recursive: true });
  return target;
}

const writeJson = (path: string, value: unknown) =>
  writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

async function writeCharts(target: string, result: ScenarioResult): Promise<void> {
  for (const [name, metric] of Object.entries(result.metrics)) {
    const measured = result.peers.filter(({ figures }) => figures[name]);
    if (metric.secondary || measured.length === 0) continue;
    const several = Object.keys(result.metrics).length > 1;
    const bars = measured.flatMap((peer) => {
      const summary = peer.figures[name];
      if (!summary) return [];
      const { median: value, min, max } = summary;
      const own = peer.name.startsWith('pg-bg-job-queue');
      return { label: peer.name, value, min, max, text: format(value, metric), own };
    });
    const chart = drawChart({
      title: result.title,
      subtitle: `${result.size.jobs > 0 ? `${result.size.jobs.toLocaleString('en')} jobs; ` : ''}${several ? `${name}, ` : ''}${metric.unit}; ${metric.better} is better`,
      bars,
    });
    await writeFile(join(target, `${result.name}${several ? `-${name}` : ''}.svg`), chart);
  }
}
