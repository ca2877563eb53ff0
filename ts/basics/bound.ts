/**
 * Binds the methods of a class to one of its objects, so that they work apart from it:
 * `const { addJob } = queue`, `process.once('SIGTERM', processor.stop)`.
 */
export function bindMethods<T extends object>(object: T, { prototype }: { prototype: T }): void {
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const method: unknown = Reflect.get(object, name);
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(object, name, {
      value: method.bind(object),
      writable: true,
      configurable: true,
    });
  }
}
