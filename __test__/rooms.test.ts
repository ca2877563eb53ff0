import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The rows of the tables of rooms in `docs/architecture.md`, their cells without quotes. */
const rows = readFileSync('docs/architecture.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));

/** The rooms of `ts/`, from the ground up: each imports from itself and from those before it. */
const ROOMS = rows.filter((row) => row.length === 4).map(([, name = '']) => name.slice(0, -1));

/** The rooms of `src/`, and what each imports. */
const RUST_ROOMS = new Map(
  rows
    .filter((row) => row[1]?.startsWith('src/'))
    .map(([, name = '', , imported = '']) => [
      name.slice('src/'.length, -1),
      new Set(imported.split(' ').filter((room) => room !== '')),
    ]),
);

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

describe('the rooms of src/', () => {
  const rust = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.rs') && file.includes('/'));

  /** What the code of a room imports, tests apart, and what anybody may import. */
  function imported(room: string): Set<string> {
    const found = new Set<string>();
    for (const file of rust.filter((file) => file.startsWith(`${room}/`))) {
      if (file.includes('/tests/')) continue;
      const [code = ''] = readFileSync(join('src', file), 'utf8').split('#[cfg(test)]\nmod tests');
      const lines = code.split('\n').filter((line) => !line.trim().startsWith('//'));
      for (const [, to = ''] of lines.join('\n').matchAll(/\bcrate::(\w+)/g)) found.add(to);
    }
    for (const file of ['error', 'backoff', 'parts', 'begun', room]) found.delete(file);
    return found;
  }

  test('are these', () => {
    expect(new Set(rust.map((file) => file.split('/')[0]))).toEqual(new Set(RUST_ROOMS.keys()));
  });

  test.each([...RUST_ROOMS])('%s imports what the drawing says', (room, drawn) => {
    expect(imported(room)).toEqual(drawn);
  });

  test('have no circle', () => {
    const order = [...RUST_ROOMS.keys()];
    const upwards = order.filter((room, at) =>
      [...(RUST_ROOMS.get(room) ?? [])].some((to) => order.indexOf(to) <= at),
    );
    expect(upwards).toEqual([]);
  });
});
