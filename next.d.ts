//#region ts/next.d.ts
/**
 * A helper for `next.config.ts`. It loads nothing else: a build does not need the addon.
 *
 * @packageDocumentation
 */
/**
 * Makes Next.js (15 or later) leave this package out of the server's bundles: Node.js then loads it from
 * `node_modules`. An app needs that only if its bundles do not find the addon by themselves, for example with Yarn
 * Plug'n'Play. It never harms.
 *
 * Takes a configuration as `next.config` exports it, an object or a function, and gives back the same. It adds the
 * package to `serverExternalPackages` and removes it from `transpilePackages`, because Next.js refuses a package that
 * is in both.
 */
declare function withJobQueue<Config extends object>(config?: Config): Config;
//#endregion
export { withJobQueue };