/** A queue as one of its users would set it up: what every adapter in this folder offers. */

export interface Peer {
  /** How reports call it. */
  readonly name: string;
  /** Its settings in one line, with the page of its documentation that recommends them. */
  readonly settings: string;
  /** The package that it measures. */
  readonly package: string;
  /** Peers of one schema share one migrated template. */
  readonly schema: string;
  /** Makes the tables in an empty database. */
  migrate(url: string): Promise<void>;
  /** Adds `count` jobs, by whatever is quickest: what is prepared is not measured. */
  seed(url: string, count: number): Promise<void>;
  /** SQL: the number of jobs that are not finished, as `count`. */
  readonly unfinished: string;
  open(url: string): Promise<Queue>;
}

export interface Queue {
  /** Adds one job. */
  add(payload: Payload): Promise<unknown>;
  /** Adds jobs in one call. Absent where the queue has no such call. */
  addMany?(payloads: Payload[]): Promise<unknown>;
  /** Starts a worker that goes on until the process ends. */
  work?(handle: Handle): Promise<void>;
  /** Runs one batch, as a route that a cron job calls would, and resolves to the number of jobs run. */
  runBatch?(handle: Handle): Promise<number>;
}

/** Every job of the benchmark is of this type. */
export const jobType = 'send_email';
/** Jobs of it that are due in days stand in front of all others, and are not counted. */
export const futurePriority = 10_000;

export interface Payload {
  to: string;
  /** For what the scenario wants to tell its handler. */
  note: string;
}

export type Handle = (payload: Payload) => void;

export const payload = (note = ''): Payload => ({ to: 'someone@example.com', note });
