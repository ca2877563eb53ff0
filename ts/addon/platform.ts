/** The name of the platform that this process runs on, and of the package that has its binary. */

import { closeSync, openSync, readSync } from 'node:fs';

/** The place of a platform's binary: the file `file` of the package `name`. */
export interface PlatformPackage {
  name: string;
  file: string;
}

/** `linux-x64-gnu`: the operating system, the architecture and, on Linux, the C library. */
export function platform(): string {
  const base = `${process.platform}-${process.arch}`;
  if (process.platform === 'win32') return `${base}-msvc`;
  return process.platform === 'linux' ? `${base}-${usesMusl() ? 'musl' : 'gnu'}` : base;
}

export function platformPackage(platform: string): PlatformPackage {
  return { name: `pg-bg-job-queue-${platform}`, file: `pg-bg-job-queue.${platform}.node` };
}

/** A report takes a hundred times as long as reading the beginning of a file, and may need the network. */
const usesMusl = (): boolean => interpreterIsMusl() ?? reportIsMusl() ?? false;

/** The releases of Node.js name their loader within these bytes. If a build does not, the report is asked. */
const BEGINNING = 2048;

/** Reads which loader the ELF file of Node.js names: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
function interpreterIsMusl(): boolean | undefined {
  try {
    const beginning = Buffer.alloc(BEGINNING);
    const file = openSync(process.execPath, 'r');
    try {
      readSync(file, beginning, 0, BEGINNING, 0);
    } finally {
      closeSync(file);
    }
    if (beginning.includes('/ld-musl-')) return true;
    return beginning.includes('/ld-linux-') ? false : undefined;
  } catch {
    return undefined;
  }
}

/** The report names glibc, if the process uses it. Releases that cannot leave the network out resolve host names. */
function reportIsMusl(): boolean | undefined {
  const report = process.report as
    | (NodeJS.ProcessReport & { excludeNetwork?: boolean })
    | undefined;
  if (report?.excludeNetwork === undefined) return undefined;
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime === undefined;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}
