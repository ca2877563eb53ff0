/** How far the jobs are, as a panel for a terminal and as a line for everything else. */
import { type JobCounts, type Observation, states, type WorkerView } from './observe.js';
import { counted, type Line, number, span, type Tone } from './text.js';

export interface Progress extends Observation {
  total: number;
  /** Jobs completed per second, lately. */
  rate: number;
}

const faces: Record<keyof JobCounts, { label: string; tone: Tone }> = {
  completed: { label: 'completed', tone: 'green' },
  processing: { label: 'processing', tone: 'cyan' },
  due: { label: 'due', tone: 'plain' },
  scheduled: { label: 'scheduled', tone: 'dim' },
  retrying: { label: 'to retry', tone: 'yellow' },
  failed: { label: 'failed for good', tone: 'red' },
};

const labelWidth = 17;
const numberWidth = 6;
const rateWidth = 14;
const doingWidth = 34;

export function panel(progress: Progress, columns: number): Line[] {
  // Below what `say` tells, or at the edge where every column counts.
  const margin = ' '.repeat(columns < 60 ? 2 : 8);
  const barWidth = Math.min(40, columns - margin.length - labelWidth - numberWidth - rateWidth);
  const bars = states.map((state): Line => {
    const { label, tone } = faces[state];
    const count = progress.counts[state];
    const rate = state === 'completed' && progress.rate > 0 ? progress.rate : undefined;
    return [
      span(margin + label.padEnd(labelWidth)),
      ...(barWidth > 4 ? bar(count / progress.total, barWidth, tone) : []),
      span(number(count).padStart(numberWidth)),
      span(rate === undefined ? '' : `  ${number(rate)} jobs/s`, 'dim'),
    ];
  });
  const workers = progress.workers.map((worker): Line => {
    return [span(margin + worker.name.padEnd(labelWidth)), ...workerSpans(worker)];
  });
  return [[], ...bars, [], ...workers];
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

function bar(share: number, width: number, tone: Tone): Line {
  // The smallest share is seen, too.
  const steps = share === 0 ? 0 : Math.max(1, Math.round(share * width * 8));
  const filled = '█'.repeat(Math.floor(steps / 8)) + (eighths[steps % 8] ?? '');
  return [span(filled, tone), span('·'.repeat(width - filled.length), 'dim')];
}

function workerSpans({ killed, running, completed, leaseMs }: WorkerView): Line {
  const done = span(`${number(completed)} completed`, 'dim');
  const { send_email: emails, generate_report: reports } = running;
  if (killed) {
    const lease = Math.max(0, Math.ceil((leaseMs ?? 0) / 1000));
    const claim =
      emails + reports > 0 ? `, holds ${counted(emails + reports, 'job')} for ${lease} s` : '';
    return [span('killed', 'red'), span(claim.padEnd(doingWidth - 'killed'.length)), done];
  }
  const held = [
    ...(emails > 0 ? [counted(emails, 'email')] : []),
    ...(reports > 0 ? [counted(reports, 'report')] : []),
  ];
  const doing = held.length > 0 ? `runs ${held.join(', ')}` : 'idle';
  return [span(doing.padEnd(doingWidth)), done];
}

export function progressText({ counts }: Progress): string {
  return states.map((state) => `${number(counts[state])} ${faces[state].label}`).join(', ');
}
