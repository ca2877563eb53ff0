import { readFileSync } from 'node:fs';

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

/** A report takes a hundred times as long as a file, and may not be had without the network. */
const usesMusl = (): boolean => lddIsMusl() ?? reportIsMusl() ?? false;

/** A shell script that names its library, in glibc's case as in musl's. Slim images may lack it. */
function lddIsMusl(): boolean | undefined {
  try {
    const script = readFileSync('/usr/bin/ldd', 'latin1');
    if (script.includes('musl')) return true;
    return script.includes('GNU C Library') ? false : undefined;
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
