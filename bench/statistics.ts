/** What is said of a few measurements of one thing: their middle, and how far they lie apart. */

export interface Summary {
  median: number;
  min: number;
  max: number;
  rounds: number[];
}

export function summarize(rounds: number[]): Summary {
  return {
    median: quantile(rounds, 0.5),
    min: Math.min(...rounds),
    max: Math.max(...rounds),
    rounds,
  };
}

/** Between two values, in proportion. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

export const median = (values: readonly number[]) => quantile(values, 0.5);
