/** A word this long is not a slip of the finger, and the distance costs the product of the lengths. */
const LONGEST_WORD = 64;

/** ` (did you mean x?)` with the candidate that `word` was probably meant to be, or `''`. */
export function suggest(word: string, candidates: Iterable<string>): string {
  if (word.length > LONGEST_WORD) return '';
  const meant = nearest(fold(word), candidates);
  return meant === undefined ? '' : ` (did you mean ${meant}?)`;
}

/** The candidate with the fewest slips, if there is one with at most one slip per three letters. */
function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let fewest = Math.max(1, Math.floor(word.length / 3));
  for (const candidate of candidates) {
    const slips = distance(word, fold(candidate));
    if (slips < fewest || (slips === fewest && best === undefined)) {
      best = candidate;
      fewest = slips;
    }
  }
  return best;
}

/** `jobType`, `job_type` and `JOB-TYPE` are one word: mixing up styles is the commonest mistake. */
function fold(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, '');
}

/** Levenshtein's distance: how many letters to add, drop or change. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const changed = at(previous, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(changed, at(previous, column) + 1, at(current, column - 1) + 1));
    }
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
