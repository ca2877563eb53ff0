import { closeSync, openSync, readSync } from 'node:fs';

/** Where a platform's binary is: the file `file` of the package `name`. */
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

/** A report takes a hundred times as long as a file's beginning, and may not be had without the network. */
const usesMusl = (): boolean => interpreterIsMusl() ?? reportIsMusl() ?? false;

/** In the releases of Node.js, its loader is named within these bytes; where it is not, the report is asked. */
const BEGINNING = 2048;

/** What loads Node.js itself, as its ELF file has it: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
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

/** The report names glibc, if that is there. Releases that cannot leave the network out wait for its names. */
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
