/**
 * A helper for `next.config.ts`. It loads nothing else: a build does not need the addon.
 *
 * @packageDocumentation
 */

const PACKAGE = 'pg-bg-job-queue';

interface Options {
  serverExternalPackages?: string[];
  transpilePackages?: string[];
}

/**
 * Makes Next.js (15 or later) leave this package out of the server's bundles: Node.js then loads it from
 * `node_modules`. An app needs that only if its bundles do not find the addon by themselves, for example with Yarn
 * Plug'n'Play. It never harms.
 *
 * Takes a configuration as `next.config` exports it, an object or a function, and gives back the same. It adds the
 * package to `serverExternalPackages` and removes it from `transpilePackages`, because Next.js refuses a package that
 * is in both.
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
