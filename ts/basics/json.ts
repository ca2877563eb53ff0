/** JSON of the package's own data, on its way to Rust or to be compared. */

export type Plain =
  | string
  | number
  | boolean
  | null
  | readonly Plain[]
  | { readonly [key: string]: Plain | undefined };

/**
 * As `JSON.stringify`, which would ask each object and array for `toJSON`: some libraries set one on the prototypes
 * of all.
 */
export function toJson(value: Plain): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isArray(value)) return `[${value.map(toJson).join()}]`;
  const members = Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : [`${JSON.stringify(key)}:${toJson(member)}`],
  );
  return `{${members.join()}}`;
}

/** `Array.isArray` does not tell a `readonly` array from an object. */
const isArray: (value: object) => value is readonly Plain[] = Array.isArray;
