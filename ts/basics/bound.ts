/**
 * Binds methods to their object, so that they work apart from it: `const { addJob } = queue`,
 * `process.once('SIGTERM', processor.stop)`. Members of these names that are no methods are left alone.
 */
export function bindMethods<T extends object>(object: T, names: readonly string[]): void {
  for (const name of names) {
    const method: unknown = Reflect.get(object, name);
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(object, name, {
      value: method.bind(object),
      writable: true,
      configurable: true,
    });
  }
}
