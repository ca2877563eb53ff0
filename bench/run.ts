/** Measures scenarios: in each round, each peer in turn. */
import { measureInChild } from './child.js';
import type { Server } from './database.js';
import type { Options } from './options.js';
import type { Metric, Scenario, Size, Target } from './scenarios/scenario.js';
import { type Summary, summarize } from './statistics.js';

export interface ScenarioResult {
  name: string;
  title: string;
  metrics: Readonly<Record<string, Metric>>;
  size: Size;
  /** Why it was not measured. */
  skipped?: string;
  peers: PeerResult[];
  ratios: Ratio[];
}

export interface PeerResult {
  name: string;
  settings: string;
  /** By the name of a metric. Empty if a measurement failed. */
  figures: Record<string, Summary>;
  failed?: string;
}

/** How many times better the package is than the best of some peers, and should be. */
export interface Ratio {
  metric: string;
  against: string;
  ratio: number;
  target: number;
}

/** Since this process began; what has begun by then takes a few seconds more. */
const quickEndsMs = 108_000;

type Progress = (line: string) => void;

export async function runScenario(
  scenario: Scenario,
  server: Server,
  options: Options,
  progress: Progress,
): Promise<ScenarioResult> {
  const { name, title, metrics } = scenario;
  const size = options.quick ? scenario.size.quick : scenario.size.full;
  const about = { name, title, metrics, size };
  const skipped = await scenario.unavailable?.();
  if (skipped !== undefined) return { ...about, skipped, peers: [], ratios: [] };

  const rounds = scenario.peers.map((peer) => ({ peer, figures: [] as Record<string, number>[] }));
  const failures = new Map<string, string>();
  for (let round = 1; round <= options.rounds; round++) {
    for (const { peer, figures } of rounds) {
      const where = `${name}  round ${round} of ${options.rounds}  ${peer.name}`;
      if (failures.has(peer.name)) continue;
      if (options.quick && performance.now() > quickEndsMs) {
        failures.set(peer.name, 'no time was left of the two minutes');
        continue;
      }
      progress(where);
      try {
        await using database = await server.createDatabase(peer);
        const task = { scenario: name, peer: peer.name, url: database.url, size };
        const measured = await measureInChild(task);
        figures.push(measured);
        progress(`${where}  ${describe(measured, metrics)}`);
      } catch (error) {
        failures.set(peer.name, (error as Error).message);
        progress(`${where}  FAILED: ${(error as Error).message}`);
      }
    }
  }
  const peers = rounds.map(({ peer, figures }): PeerResult => {
    const failed = failures.get(peer.name);
    const summaries = Object.keys(metrics).map((metric) => [
      metric,
      summarize(figures.map((each) => each[metric] ?? Number.NaN)),
    ]);
    return {
      name: peer.name,
      settings: peer.settings,
      figures: failed === undefined ? Object.fromEntries(summaries) : {},
      ...(failed !== undefined && { failed }),
    };
  });
  return { ...about, peers, ratios: scenario.targets.map(ratioOf) };

  function ratioOf({ metric, against, atLeast }: Target): Ratio {
    const medians = (names: readonly { name: string }[]) =>
      names.map(({ name }) => {
        const peer = peers.find((each) => each.name === name);
        return { name, ratio: ratioTo(metric, peer, peers[0], metrics) };
      });
    const closest = medians(against)
      .filter(({ ratio }) => !Number.isNaN(ratio))
      .toSorted((a, b) => a.ratio - b.ratio)[0];
    return {
      metric,
      against: closest?.name ?? against.map(({ name }) => name).join(', '),
      ratio: closest?.ratio ?? Number.NaN,
      target: atLeast,
    };
  }
}

/** How many times better `own` is than `other`. */
export function ratioTo(
  metric: string,
  other: PeerResult | undefined,
  own: PeerResult | undefined,
  metrics: Readonly<Record<string, Metric>>,
): number {
  const theirs = other?.figures[metric]?.median ?? Number.NaN;
  const ours = own?.figures[metric]?.median ?? Number.NaN;
  return metrics[metric]?.better === 'less' ? theirs / ours : ours / theirs;
}

/** `31,234 jobs/s`. */
export function format(value: number, { unit }: Metric): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toLocaleString('en', { maximumFractionDigits: digits })} ${unit}`;
}

const describe = (
  figures: Record<string, number>,
  metrics: Readonly<Record<string, Metric>>,
): string =>
  Object.entries(metrics)
    .map(([name, metric]) => format(figures[name] ?? Number.NaN, metric))
    .join(', ');
