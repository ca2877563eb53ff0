/**
 * Jobs that are added one by one in the same turn of the event loop cross to Rust together: if there are many, a call
 * for each costs more than its insert. No job waits for that, since they cross before the event loop goes on.
 *
 * A job with a key crosses alone: it may have to wait for a transaction, and the others must not wait for its answer.
 */

import {
  type Ask,
  fromNative,
  type NativeError,
  type NativeQueue,
  toJobQueueError,
} from '../addon/native.js';
import { nextTick } from '../basics/timers.js';
import type { ParsedJob } from '../job/new-job.js';
import type { JobStatus, UpsertedJob } from '../job/types.js';
import { jobsToJson } from './operation.js';

/** Jobs that cross together are inserted together: these are the limits of `src/queue/enqueuer.rs`. */
const MAX_JOBS = 5_000;
const MAX_LENGTH = 8 * 1024 * 1024;

/** A job's id, and of a job with a key, what was decided: as `Decision` in `src/job/added.rs` is sent. */
export type Added =
  | number
  | readonly [
      id: number,
      outcome: UpsertedJob['outcome'] | 'rejected',
      status: JobStatus | null,
      ...unknown[],
    ];

/** What has become of a job, or why it was not added: an error that the addon describes, or one that was thrown. */
type Answer =
  | { kind: 'added'; added: Added }
  | { kind: 'refused'; error: NativeError }
  | { kind: 'threw'; thrown: unknown };

interface Gathered {
  job: ParsedJob;
  answer(answer: Answer): void;
}

export class Enqueuer {
  private gathered: Gathered[] = [];

  constructor(
    private readonly queue: NativeQueue,
    private readonly untilClosed: Ask,
  ) {}

  /** Adds a job and resolves to what has become of it once it is committed. */
  async add(job: ParsedJob): Promise<Added> {
    const answer = await new Promise<Answer>((resolve) => {
      this.gathered.push({ job, answer: resolve });
      if (this.gathered.length === 1) nextTick(() => this.send());
    });
    if (answer.kind === 'added') return answer.added;
    // The error is made here, where its stack leads to the caller.
    throw answer.kind === 'refused' ? toJobQueueError(answer.error) : fromNative(answer.thrown);
  }

  private send(): void {
    const { gathered } = this;
    this.gathered = [];
    for (const group of groupsOf(gathered)) void this.cross(group);
  }

  private async cross(group: Gathered[]): Promise<void> {
    try {
      const message = jobsToJson(group.map(({ job }) => job));
      const answers = JSON.parse(await this.untilClosed(this.queue.addEach(message))) as (
        | Added
        | NativeError
      )[];
      group.forEach(({ answer }, at) => {
        const given = answers[at] as Added | NativeError;
        answer(
          typeof given === 'number' || Array.isArray(given)
            ? { kind: 'added', added: given as Added }
            : { kind: 'refused', error: given as NativeError },
        );
      });
    } catch (thrown) {
      for (const { answer } of group) answer({ kind: 'threw', thrown });
    }
  }
}

/** Splits the jobs that have gathered, by the limits. A job that is larger than they allow goes alone. */
function groupsOf(gathered: Gathered[]): Gathered[][] {
  const groups: Gathered[][] = [];
  let group: Gathered[] = [];
  let length = 0;
  for (const each of gathered) {
    if (each.job.isKeyed) {
      groups.push([each]);
      continue;
    }
    length += each.job.payload.length;
    if (group.length > 0 && (group.length === MAX_JOBS || length > MAX_LENGTH)) {
      groups.push(group);
      group = [];
      length = each.job.payload.length;
    }
    group.push(each);
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
