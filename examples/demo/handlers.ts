/** The work itself. A mail server and a data warehouse are played by waits and files; the rest is real. */
import { createHash } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { currentJob, type JobHandlers } from 'pg-bg-job-queue';
import { busyDomain, goneDomain, type JobPayloadMap } from './jobs.js';

/** Handlers whose effects are files in `folder`, so that they can be counted. */
export function createHandlers(folder: string): JobHandlers<JobPayloadMap> {
  return {
    async send_email({ to, subject, body }) {
      const { id, attempts } = currentJob();
      await roundTrip();
      receiveOrRefuse(to, attempts);
      // Every sending leaves a file of its own: an email that goes out twice is seen.
      const message = `To: ${to}\nSubject: ${subject}\n\n${body}`;
      await writeWhole(join(folder, `${id}-${attempts}.eml`), message);
      await roundTrip();
    },

    async generate_report({ reportId, userId, month }) {
      await roundTrip();
      const report = salesReport(reportId, userId, month);
      // The name follows from the payload: a report that is made twice replaces itself.
      await writeWhole(join(folder, `${reportId}.csv`), sign(report));
    },
  };
}

function receiveOrRefuse(to: string, attempt: number): void {
  if (to.endsWith(goneDomain)) throw new Error(`550 no such mailbox: ${to}`);
  if (to.endsWith(busyDomain) && attempt === 1) throw new Error(`451 mailbox busy: ${to}`);
}

/** To a server that is not there. */
const roundTrip = () => delay(15 + Math.random() * 45);

/** A file that is there is complete, whenever its writer is killed. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  await writeFile(draft, text);
  await rename(draft, path);
}

/** Takes the processor some milliseconds. */
function salesReport(reportId: string, userId: string, month: string): string {
  const lines = [`# ${reportId} for ${userId}`, 'order,day,cents'];
  let seed = createHash('sha256').update(reportId).digest();
  let total = 0;
  for (let order = 1; order <= 1_000; order++) {
    seed = createHash('sha256').update(seed).digest();
    const cents = seed.readUInt16LE(0);
    total += cents;
    lines.push(
      `${order},${month}-${String((seed.readUInt8(2) % 28) + 1).padStart(2, '0')},${cents}`,
    );
  }
  return [...lines, `total,,${total}`, ''].join('\n');
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex');

function sign(report: string): string {
  return `${report}# sha256 ${digest(report)}\n`;
}

/** Whether a report is one that `generate_report` wrote to its end. */
export function isSigned(file: string): boolean {
  const end = file.lastIndexOf('# sha256 ');
  return end >= 0 && file === sign(file.slice(0, end));
}
