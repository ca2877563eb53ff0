/**
 * For `next.config.ts`. Loads nothing: the addon is no business of who only configures.
 *
 * @packageDocumentation
 */

const PACKAGE = 'pg-bg-job-queue';

interface Options {
  serverExternalPackages?: string[];
  transpilePackages?: string[];
}

/**
 * Has Next.js (15 or later) leave this package in `node_modules`, and Node.js load it from there, in
 * place of taking it into the server's bundles. An app needs that only where its bundles do not find the addon by
 * themselves, as with Yarn Plug'n'Play; it never harms.
 *
 * Takes what `next.config` may export, an object or a function, and gives back the same; of options it
 * sets `serverExternalPackages` and takes the package out of `transpilePackages`, which Next.js
 * would refuse beside it.
 */
export function withJobQueue<Config extends object>(config: Config = {} as Config): Config {
  const given: unknown = config;
  if (typeof given !== 'function') return { ...config, ...external(config) };
  const configure = (...args: unknown[]): object => {
    const options: object | Promise<object> = given(...args);
    return options instanceof Promise ? options.then(withJobQueue) : withJobQueue(options);
  };
  return configure as unknown as Config;
}

function external({ serverExternalPackages = [], transpilePackages }: Options): Options {
  return {
    serverExternalPackages: [...new Set([...serverExternalPackages, PACKAGE])],
    ...(transpilePackages && {
      transpilePackages: transpilePackages.filter((name) => name !== PACKAGE),
    }),
  };
}
