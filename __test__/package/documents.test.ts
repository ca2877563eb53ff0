/** The links of the documents: where the package is installed, on npm's page of it, and in the repository. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { version } from '../../package.json';
import { publishedReadme } from '../../tools/published-readme.js';
import { useApp } from '../helpers/packages.js';

const app = useApp({});
const repository = join(__dirname, '../..');
const published = `https://unpkg.com/pg-bg-job-queue@${version}/`;

const markdownIn = (root: string) => [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
];

/** The targets of links and pictures; what stands in code is none. */
function targetsOf(file: string): string[] {
  const prose = readFileSync(file, 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target);
}

/** The anchors that GitHub and npm give to headings. */
const anchorsOf = (file: string) =>
  [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** The links that lead nowhere, or to a heading that is not there. */
function deadLinks(root: string, document: string): string[] {
  return targetsOf(join(root, document)).filter((target) => {
    const [path = '', anchor] = target.replace(published, '').split('#');
    if (path.startsWith('https://')) return false;
    const from = target.startsWith(published) ? root : join(root, dirname(document));
    const file = path === '' ? join(root, document) : join(from, path);
    return !existsSync(file) || (anchor !== undefined && !anchorsOf(file).includes(anchor));
  });
}

test('a comment that begins a line of the README stands alone: with it, Markdown ends', () => {
  expect(readFileSync(join(repository, 'README.md'), 'utf8')).not.toMatch(/^<!--.*-->./m);
});

test('in the repository, every link leads somewhere', () => {
  for (const document of markdownIn(repository)) {
    expect({ document, dead: deadLinks(repository, document) }).toEqual({ document, dead: [] });
  }
});

describe('in the package', () => {
  const installed = () => join(app.folder, 'node_modules/pg-bg-job-queue');

  test('every link leads to a file of the package', () => {
    for (const document of markdownIn(installed())) {
      expect({ document, dead: deadLinks(installed(), document) }).toEqual({ document, dead: [] });
    }
  });

  test('the README, which npm shows by itself, has addresses alone, and nothing of a checkout', () => {
    const readme = join(installed(), 'README.md');
    const targets = targetsOf(readme);
    expect(targets).toContain(`${published}docs/transactions.md`);
    expect(targets).toContain(`${published}bench/results/drain.svg`);
    expect(targets.filter((target) => !/^(?:#|https:\/\/)/.test(target))).toEqual([]);
    expect(readFileSync(readme, 'utf8')).not.toMatch(/<!--|npm run|npm ci|Rust toolchain|\n{3}/);
  });

  test('the migrations are where docs/upgrading.md points to', () => {
    const migrations = readdirSync(join(repository, 'migrations'));
    expect(readdirSync(join(installed(), 'migrations'))).toEqual(migrations);
  });
});

test('a link to what is not packed is refused when packing', () => {
  const manifest = { name: 'a', version: '1.0.0', files: ['docs'] };
  expect(publishedReadme('[x](docs/x.md#y) [y](#y)', manifest)).toBe(
    '[x](https://unpkg.com/a@1.0.0/docs/x.md#y) [y](#y)',
  );
  expect(() => publishedReadme('[x](docs.md)', manifest)).toThrow('README.md links to docs.md');
});

test('what only a checkout has is left out when packing', () => {
  const manifest = { name: 'a', version: '1.0.0', files: [] };
  const text =
    'a\n<!-- repository -->\n[x](y)\n<!-- /repository -->\nb<!-- repository --> c<!-- /repository -->\n\nd';
  expect(publishedReadme(text, manifest)).toBe('a\nb\n\nd');
});
