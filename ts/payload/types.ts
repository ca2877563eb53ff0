/** Types of payloads, before and after JSON. Each map is taken whole, so that it works without knowing the job type. */

/** Payloads as they may be added. A type that JSON does not have is marked where it stands. */
export type Storable<PayloadMap> = { [T in keyof PayloadMap]: Checked<PayloadMap[T]> };

/** Payloads as handlers and records get them: `JSON.parse(JSON.stringify(payload))`. */
export type Stored<PayloadMap> = { [T in keyof PayloadMap]: Parsed<PayloadMap[T]> };

/** The compiler shows this if a payload holds something that JSON does not have. */
export interface NotJson {
  'A payload may hold what JSON has: no function, method, bigint, symbol, Map or Set': never;
}

type NoJson =
  | bigint
  | symbol
  | ((...args: never) => unknown)
  | (abstract new (
      ...args: never
    ) => unknown);
type Primitive = string | number | boolean | null | undefined;
/** An object with `toJSON`, for example a `Date`. */
type Converts<To> = { toJSON(...args: never): To };
/** How deep a payload's type is followed: it may have no end. */
interface Less {
  10: 9;
  9: 8;
  8: 7;
  7: 6;
  6: 5;
  5: 4;
  4: 3;
  3: 2;
  2: 1;
  1: 0;
  0: 0;
}
type IsAny<T> = 0 extends 1 & T ? true : false;

/** The type itself, unless something in it is marked. */
type Checked<T> = IsAny<T> extends true ? T : [T] extends [Marked<T>] ? T : Marked<T>;

type Marked<T, Depth extends keyof Less = 10> = Depth extends 0
  ? T
  : unknown extends T
    ? T
    : T extends NoJson
      ? NotJson
      : T extends Primitive
        ? T
        : T extends Converts<infer To>
          ? [To] extends [Marked<To, Less[Depth]>]
            ? T
            : NotJson
          : { [Key in keyof T]: Marked<T[Key], Less[Depth]> };

/** The type itself if JSON changes nothing, so that it keeps its name. */
type Parsed<T> =
  IsAny<T> extends true
    ? T
    : [T] extends [Changed<T>]
      ? [Changed<T>] extends [T]
        ? T
        : Changed<T>
      : Changed<T>;

type Changed<T, Depth extends keyof Less = 10> = Depth extends 0
  ? T
  : unknown extends T
    ? T
    : T extends NoJson
      ? never
      : T extends Primitive
        ? T
        : T extends Converts<infer To>
          ? Changed<To, Less[Depth]>
          : T extends readonly unknown[]
            ? { [Key in keyof T]: Changed<NullForUndefined<T[Key]>, Less[Depth]> }
            : { [Key in keyof T]: Changed<T[Key], Less[Depth]> };

/** `undefined` becomes `null` in an array, and is left out of an object. */
type NullForUndefined<T> = T extends undefined ? null : T;
