/**
 * The README as it is published. npm shows it apart from the files around it, and without a repository's address
 * it leads relative links nowhere. unpkg.com gives every file of every published package, at an address that
 * follows from the package's name and version; so links lead there, to what the package itself holds.
 */

/** What only a checkout has, such as the demo, stands between these. Whole lines leave no empty line behind. */
const ONLY_IN_REPOSITORY =
  /^<!-- repository -->[\s\S]*?<!-- \/repository -->\n|<!-- repository -->[\s\S]*?<!-- \/repository -->/gm;

/** The target of a Markdown link or picture that is neither an address nor within the page. */
const RELATIVE_TARGET = /(?<=\]\()(?!https?:|#)[^)]+/g;

/** Throws if a link leads to what is not among the package's `files`. */
export function publishedReadme(
  text: string,
  { name, version, files }: { name: string; version: string; files: string[] },
): string {
  return text.replace(ONLY_IN_REPOSITORY, '').replace(RELATIVE_TARGET, (target) => {
    const [path = ''] = target.split('#');
    if (!files.some((file) => path === file || path.startsWith(`${file}/`))) {
      throw new Error(`README.md links to ${path}, which the package does not hold`);
    }
    return `https://unpkg.com/${name}@${version}/${target}`;
  });
}
