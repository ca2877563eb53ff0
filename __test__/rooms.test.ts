import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The rooms of `ts/`, from the ground up: each imports from itself and from those before it. */
const ROOMS = [
  'basics',
  'errors',
  'checks',
  'addon',
  'payload',
  'clients',
  'config',
  'job',
  'processor',
  'queue',
  'route',
  'cli',
];

/** What `napi build` writes. */
const BINDING = 'binding.ts';

const files = readdirSync('ts', { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.m?ts$/.test(file) && !file.endsWith('.d.ts'))
  .map((file) => file.replaceAll('\\', '/'));

const roomOf = (file: string) => (file.includes('/') ? (file.split('/')[0] as string) : null);

/** The files of `ts/` that a file imports, types included. */
function imports(file: string): string[] {
  const text = readFileSync(join('ts', file), 'utf8');
  return [...text.matchAll(/(?:from |import\()'(\.[^']+)\.js'/g)].map(([, path = '']) =>
    normalize(join(file, '..', `${path}.ts`)).replaceAll('\\', '/'),
  );
}

const arrows = files.flatMap((from) => imports(from).map((to) => ({ from, to })));

describe('the rooms of ts/', () => {
  test('are these', () => {
    expect(new Set(files.map(roomOf))).toEqual(new Set([null, ...ROOMS]));
  });

  test('import nothing that is not there', () => {
    expect(arrows.filter(({ to }) => !files.includes(to) && to !== BINDING)).toEqual([]);
  });

  test('import from those below alone', () => {
    const floor = (file: string) => ROOMS.indexOf(roomOf(file) ?? '');
    const upwards = arrows.filter(
      ({ from, to }) => roomOf(from) !== null && to !== BINDING && !(floor(to) <= floor(from)),
    );
    expect(upwards).toEqual([]);
  });

  test('leave the entries to those who import the package', () => {
    const inwards = arrows.filter(
      ({ from, to }) => roomOf(from) !== null && roomOf(to) === null && to !== BINDING,
    );
    expect(inwards).toEqual([]);
  });

  test('know the addon in one room', () => {
    const users = arrows.filter(({ to }) => to === BINDING).map(({ from }) => roomOf(from));
    expect(new Set(users)).toEqual(new Set(['addon']));
  });
});

test('no file of ts/ imports itself, by whatever way', () => {
  const below = new Map(files.map((file) => [file, imports(file)]));
  const circles = files.filter((file) => {
    const reached = new Set<string>();
    const next = [...(below.get(file) ?? [])];
    for (let to = next.pop(); to !== undefined; to = next.pop()) {
      if (reached.has(to)) continue;
      reached.add(to);
      next.push(...(below.get(to) ?? []));
    }
    return reached.has(file);
  });
  expect(circles).toEqual([]);
});
