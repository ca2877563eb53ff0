import type { Peer } from '../peers/peer.js';

/** One question, asked of several peers in turn. */
export interface Scenario {
  /** For `--only`. */
  readonly name: string;
  /** One line, as a heading. */
  readonly title: string;
  readonly metrics: Readonly<Record<string, Metric>>;
  /** The package itself is the first. */
  readonly peers: readonly Peer[];
  /** What the package has to reach. */
  readonly targets: readonly Target[];
  readonly size: { full: Size; quick: Size };
  /** Why it cannot be measured yet, if so. */
  readonly unavailable?: () => Promise<string | undefined>;
  /** One measurement. Runs in a process of its own, on a new database. */
  measure(context: Context): Promise<Figures>;
  /** What goes on in another process meanwhile. */
  produce?(context: Context): Promise<void>;
}

export interface Metric {
  unit: string;
  better: 'more' | 'less';
  /** Shown, and not judged. */
  secondary?: boolean;
}

/** The package is at least this many times better than the best of `against`. */
export interface Target {
  metric: string;
  against: readonly Peer[];
  atLeast: number;
}

export interface Size {
  jobs: number;
  /** The most that one measurement lasts; a peer that is not done by then is stopped. */
  seconds: number;
}

export interface Context {
  peer: Peer;
  url: string;
  size: Size;
  /** Runs the scenario's `produce` in another process, until this one ends. May be called again. */
  startProducer(): void;
}

/** By the name of a metric. */
export type Figures = Record<string, number>;
