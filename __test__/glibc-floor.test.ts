import { expect, test } from 'vitest';
import { glibcFloor, isNewer } from '../tools/glibc-floor.js';

const library = (...strings: string[]) => Buffer.from(`\x7fELF\0${strings.join('\0')}\0`, 'latin1');

test('the newest version of glibc that a library asks for is found, as a number would not be', () => {
  expect(glibcFloor(library('malloc', 'GLIBC_2.2.5', 'GLIBC_2.14', 'GLIBC_2.9'))).toBe('2.14');
});

test('what only looks like a version is none', () => {
  const strings = ['GLIBC_2.4', 'needs GLIBC_2.99 to run', 'GLIBC_PRIVATE'];
  expect(glibcFloor(library(...strings))).toBe('2.4');
  expect(() => glibcFloor(library('__cxa_finalize'))).toThrow('not linked to glibc');
});

test.each([
  ['2.34', '2.28', true],
  ['2.28', '2.28', false],
  ['2.2.5', '2.28', false],
  ['2.28', '2.3.4', true],
])('%s is newer than %s: %s', (a, b, expected) => {
  expect(isNewer(a, b)).toBe(expected);
});
