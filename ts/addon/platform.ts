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

/** The report names glibc; where there is none, or it would wait for a name server, `ldd` tells. */
function usesMusl(): boolean {
  const report = process.report as
    | (NodeJS.ProcessReport & { excludeNetwork?: boolean })
    | undefined;
  if (report?.excludeNetwork === undefined) return lddIsMusl();
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime === undefined;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** A shell script that names its library, in glibc's case as in musl's. Slim images may lack it. */
function lddIsMusl(): boolean {
  try {
    return readFileSync('/usr/bin/ldd', 'latin1').includes('musl');
  } catch {
    return false;
  }
}
