/** Checks that no size of the table slows the package down. */
import { measureInChild } from '../child.js';
import { type Database, Server } from '../database.js';
import type { Options } from '../options.js';
import { oneType } from '../peers/index.js';
import type { Figures, Scenario } from '../scenarios/scenario.js';
import { median, type Summary, summarize } from '../statistics.js';
import {
  cleanEnd,
  drainOneType,
  fourProcesses,
  idleWorker,
  manyPriorities,
  oneProcess,
  snapshotEnd,
} from './scenarios.js';
import { type Surroundings, surround } from './surroundings.js';

export interface Check {
  postgres: number;
  name: string;
  value: number;
  unit: string;
  /** What the value has to be. */
  target: { atLeast: number } | { atMost: number };
  /** The rates that the value was made of. */
  rates?: Record<string, Summary>;
}

export const isMet = ({ value, target }: Check) =>
  'atLeast' in target ? value >= target.atLeast : value <= target.atMost;

type Progress = (line: string) => void;

export async function runFlat(
  options: Options,
  version: 14 | 18,
  progress: Progress,
): Promise<Check[]> {
  await using server = await Server.start(version);
  const context = new Flat(server, version, options, progress);
  return [
    ...(await context.surroundings()),
    ...(await context.snapshot()),
    await context.priorities(),
    ...(await context.processes()),
    ...(await context.idle()),
  ];
}

class Flat {
  /** A twentieth of the rows in a quick run, which shows whether the checks work and not much more. */
  readonly #scale: number;

  constructor(
    private readonly server: Server,
    private readonly postgres: 14 | 18,
    private readonly options: Options,
    private readonly progress: Progress,
  ) {
    this.#scale = options.quick ? 0.05 : 1;
  }

  async surroundings(): Promise<Check[]> {
    const million = 1_000_000 * this.#scale;
    const tables: Record<string, Surroundings> = {
      'a million future jobs of a higher priority': { future: million },
      'a million ready jobs of another type': { other: million },
      'five million finished rows': { finished: 5 * million },
      'all of these': { future: million, other: million, finished: 5 * million },
    };
    const databases = new Map<string, Database>();
    for (const [name, counts] of Object.entries(tables)) {
      this.#say(`making a table with ${name}`);
      const database = await this.server.createDatabase(oneType);
      databases.set(name, database);
      await surround(database.url, counts);
    }
    const rates = await this.#alternate({
      'an empty table': () => this.#measure(drainOneType, 50_000),
      ...Object.fromEntries(
        [...databases].map(([name, { url }]) => [
          name,
          () => this.#measureIn(url, drainOneType, 50_000),
        ]),
      ),
    });
    for (const database of databases.values()) await database[Symbol.asyncDispose]();
    return Object.keys(tables).map((name) => this.#ratio(name, rates, name, 'an empty table', 0.9));
  }

  async snapshot(): Promise<Check[]> {
    const polls: number[] = [];
    const jobs = 200_000;
    const rates = await this.#alternate({
      clean: () => this.#measure(cleanEnd, jobs),
      snapshot: async () => {
        const figures = await this.#measure(snapshotEnd, jobs);
        polls.push(figures.poll ?? Number.NaN);
        return figures;
      },
    });
    return [
      this.#ratio('the last of 200,000 jobs under a snapshot', rates, 'snapshot', 'clean', 0.8),
      {
        postgres: this.postgres,
        name: 'an idle poll after them',
        value: median(polls),
        unit: 'ms',
        target: { atMost: 5 },
      },
    ];
  }

  async priorities(): Promise<Check> {
    const jobs = 50_000;
    const rates = await this.#alternate({
      one: () => this.#measure(drainOneType, jobs),
      thousand: () => this.#measure(manyPriorities, jobs),
    });
    return this.#ratio('1,000 priorities', rates, 'thousand', 'one', 0.5);
  }

  async processes(): Promise<Check[]> {
    let deadlocks = 0;
    const jobs = 100_000;
    const rates = await this.#alternate({
      one: () => this.#measure(oneProcess, jobs),
      four: async () => {
        const figures = await this.#measure(fourProcesses, jobs);
        deadlocks += figures.deadlocks ?? Number.NaN;
        return figures;
      },
    });
    return [
      this.#ratio('four processes beside one', rates, 'four', 'one', 1),
      this.#zero('their deadlocks', deadlocks),
    ];
  }

  async idle(): Promise<Check[]> {
    const figures = await this.#measure(idleWorker, 0);
    const polls = `in ${figures.polls} polls`;
    return [
      this.#zero(`rows written by an idle worker ${polls}`, figures.rowsWritten),
      this.#zero(`transaction ids taken ${polls}`, figures.transactionIds),
    ];
  }

  /** Each in turn, round by round. */
  async #alternate(
    sides: Record<string, () => Promise<Figures>>,
  ): Promise<Record<string, Summary>> {
    const rates: Record<string, number[]> = {};
    for (let round = 1; round <= this.options.rounds; round++) {
      for (const [name, measure] of Object.entries(sides)) {
        const { rate = Number.NaN } = await measure();
        rates[name] = [...(rates[name] ?? []), rate];
        this.#say(`round ${round} of ${this.options.rounds}  ${name}  ${rate.toFixed(0)} jobs/s`);
      }
    }
    return Object.fromEntries(
      Object.entries(rates).map(([name, values]) => [name, summarize(values)]),
    );
  }

  async #measure(scenario: Scenario, jobs: number): Promise<Figures> {
    await using database = await this.server.createDatabase(oneType);
    return await this.#measureIn(database.url, scenario, jobs);
  }

  #measureIn(url: string, { name }: Scenario, jobs: number): Promise<Figures> {
    // Few jobs are over before anything has warmed up.
    const size = { jobs: Math.max(jobs * this.#scale, Math.min(jobs, 5000)), seconds: 60 };
    return measureInChild({ scenario: name, peer: oneType.name, url, size });
  }

  #ratio(
    name: string,
    rates: Record<string, Summary>,
    side: string,
    base: string,
    atLeast: number,
  ): Check {
    const value = (rates[side]?.median ?? Number.NaN) / (rates[base]?.median ?? Number.NaN);
    const { postgres } = this;
    return { postgres, name, value, unit: 'of the rate', target: { atLeast }, rates };
  }

  #zero(name: string, value = Number.NaN): Check {
    return { postgres: this.postgres, name, value, unit: '', target: { atMost: 0 } };
  }

  #say(line: string): void {
    this.progress(`Postgres ${this.postgres}  ${line}`);
  }
}
