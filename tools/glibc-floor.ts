/** The oldest glibc that an ELF library loads with: the newest version that its symbols ask for. */
export function glibcFloor(library: Buffer): string {
  // Versions are in the string table, each behind a zero byte and before one.
  const versions = library.toString('latin1').matchAll(/(?<=\0)GLIBC_(\d+(?:\.\d+)+)(?=\0)/g);
  let floor: string | undefined;
  for (const [, version = ''] of versions) {
    if (floor === undefined || isNewer(version, floor)) floor = version;
  }
  if (floor === undefined) throw new Error('this library is not linked to glibc');
  return floor;
}

/** Whether version `a` is newer than `b`. */
export function isNewer(a: string, b: string): boolean {
  const [partsA, partsB] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let at = 0; at < Math.max(partsA.length, partsB.length); at++) {
    const difference = (partsA[at] ?? 0) - (partsB[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
