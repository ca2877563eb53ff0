/** Results as text for a terminal. */
import { type Check, isMet } from './flat/run.js';
import type { Machine } from './machine.js';
import { format, ratioTo, type ScenarioResult } from './run.js';
import type { Summary } from './statistics.js';

export function describeRun(machine: Machine): string {
  const packages = Object.entries(machine.packages).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, ${machine.system}`,
    `Node ${machine.node}, Postgres ${machine.postgres}, a ${machine.build} build`,
    packages.join(', '),
  ].join('\n');
}

/** One scenario's figures, and how many times better the package is than each peer. */
export function tableOf({ title, metrics, size, peers, skipped }: ScenarioResult): string {
  const heading = size.jobs > 0 ? `${title} (${size.jobs.toLocaleString('en')})` : title;
  if (skipped !== undefined) return `${heading}\n  skipped: ${skipped}`;
  const names = Object.entries(metrics);
  const own = peers[0];
  const rows = peers.map((peer) => [
    peer.name,
    ...names.flatMap(([name, metric]) => {
      const summary = peer.figures[name];
      if (!summary) return [`failed: ${peer.failed}`, '', ''];
      const ratio = peer === own ? '' : times(ratioTo(name, peer, own, metrics));
      return [format(summary.median, metric), spread(summary), metric.secondary ? '' : ratio];
    }),
  ]);
  const head = [
    '',
    ...names.flatMap(([name]) => [names.length > 1 ? name : 'median', 'spread', 'ahead']),
  ];
  return `${heading}\n${align([head, ...rows])}`;
}

/** What the package has to reach, and does. */
export function ratioTable(results: ScenarioResult[]): string {
  const rows = results.flatMap(({ name, ratios, skipped, metrics }) =>
    skipped === undefined
      ? ratios.map(({ metric, against, ratio, target }) => [
          Object.keys(metrics).length > 1 ? `${name}, ${metric}` : name,
          against,
          times(ratio),
          times(target),
          ratio >= target ? 'reached' : 'missed',
        ])
      : [[name, '', '', '', 'skipped']],
  );
  return align([['', 'against', 'ratio', 'target', ''], ...rows]);
}

/** What no size of the table may change. */
export function flatTable(checks: Check[]): string {
  const rows = checks.map((check) => [
    `Postgres ${check.postgres}: ${check.name}`,
    `${check.value.toLocaleString('en', { maximumFractionDigits: 2 })} ${check.unit}`.trim(),
    'atLeast' in check.target ? `>= ${check.target.atLeast}` : `<= ${check.target.atMost}`,
    isMet(check) ? 'reached' : 'missed',
  ]);
  return align([['', 'measured', 'target', ''], ...rows]);
}

const times = (ratio: number) => `${ratio.toFixed(2)} x`;

/** The distance of the outermost rounds from the median. */
function spread({ median, min, max }: Summary): string {
  const percent = (value: number) => Math.round((value / median - 1) * 100);
  return `${percent(min)}% +${percent(max)}%`;
}

/** In columns: the first to the left, figures to the right. */
function align(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const cell = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => `  ${row.map(cell).join('  ').trimEnd()}`).join('\n');
}
