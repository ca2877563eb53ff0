import { parseArgs } from 'node:util';

export interface Options {
  /** Two minutes in all: one round, fewer jobs. */
  quick: boolean;
  /** Names of scenarios; none is all. */
  only: string[];
  rounds: number;
  flat: boolean;
  allowDebug: boolean;
}

export const usage = `npm start -- [options]

  --quick           end within two minutes: one round, fewer jobs
  --only SCENARIO   measure this one; may be repeated
  --rounds N        how often each peer is measured, by default 5
  --flat            check instead that no size of the table slows the package down
  --allow-debug     measure a debug build; its figures mean nothing
  --list            name the scenarios`;

/** Throws what is wrong with them. */
export function parseOptions(args: string[]): Options | 'list' | 'help' {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      flat: { type: 'boolean', default: false },
      'allow-debug': { type: 'boolean', default: false },
      list: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  if (values.list) return 'list';
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a whole number');
  return {
    quick: values.quick,
    only: values.only,
    rounds,
    flat: values.flat,
    allowDebug: values['allow-debug'],
  };
}
