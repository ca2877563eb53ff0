//#region ts/next.d.ts
/**
 * For `next.config.ts`. Loads nothing: the addon is no business of who only configures.
 *
 * @packageDocumentation
 */
/**
 * Has Next.js (15 or later) leave this package in `node_modules`, and Node.js load it from there, in
 * place of taking it into the server's bundles. An app needs that only where its bundles do not find the addon by
 * themselves, as with Yarn Plug'n'Play; it never harms.
 *
 * Takes what `next.config` may export, an object or a function, and gives back the same; of options it
 * sets `serverExternalPackages` and takes the package out of `transpilePackages`, which Next.js
 * would refuse beside it.
 */
declare function withJobQueue<Config extends object>(config?: Config): Config;
//#endregion
export { withJobQueue };