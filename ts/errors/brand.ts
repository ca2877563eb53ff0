/** Classes whose instances are known in every copy of this package: a bundler may put several into one process. */

/**
 * Marks the instances of a class by a property of this name, so that `instanceof` works across copies. A subclass has
 * only its own instances.
 */
// biome-ignore lint/suspicious/noExplicitAny: a class with any constructor
export function brandedBy(brand: symbol, of: abstract new (...args: any[]) => object): void {
  Object.defineProperty(of, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      const branded = this === of && typeof value === 'object' && value && brand in value;
      return Boolean(branded) || Function.prototype[Symbol.hasInstance].call(this, value);
    },
  });
}
