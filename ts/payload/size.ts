/**
 * Whether a payload fits into a jsonb value of Postgres, and out of it again. Its size is that of the text that
 * Postgres writes, since a claim brings the payload as that text, which may be much longer than the text that was
 * sent.
 */

/** The most bytes of text that Postgres may write a payload as. `add_job` holds to the same. */
export const MAX_TEXT_BYTES = 64 * 2 ** 20;

/**
 * A text of at most this many UTF-16 units always fits. Nothing grows more than `1e308,` (`1e+308,` as JavaScript
 * writes it), of which Postgres makes 309 digits, a comma and a space.
 */
const ALWAYS_FITS = Math.floor((MAX_TEXT_BYTES * 6) / 311);

/**
 * The same with numbers of `JSON.rawJSON`, which may be as large as those of Postgres: `1e131071,` makes 131,072
 * digits. No number of JavaScript has an exponent of four digits.
 */
const FITS_WHATEVER_IT_HOLDS = Math.floor((MAX_TEXT_BYTES * 9) / 131_074);
const LONG_EXPONENT = /e[+-]?\d{4}/i;

/** `JENTRY_OFFLENMASK`: the most bytes in one string, array or object of a jsonb value. */
const MAX_JSONB_BYTES = 0x0fffffff;

/** While it parses, Postgres doubles an array of 72 bytes per pair, and allocates less than 1 GiB. */
const MAX_MEMBERS = 2 ** 23;

/** Numeric header, six digits to base 10,000, and padding: the most that a number of JavaScript takes. */
const NUMBER_BYTES = 24;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const NINE = 0x39;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/** Says which limit the JSON text of a payload passes, or gives `null` if Postgres can store it. */
export function oversize(text: string): string | null {
  if (text.length <= FITS_WHATEVER_IT_HOLDS) return null;
  if (text.length <= ALWAYS_FITS && !LONG_EXPONENT.test(text)) return null;
  if (text.length > MAX_TEXT_BYTES) return tooMuchText();
  const { textBytes, jsonbBytes, mostMembers } = measure(text);
  if (mostMembers > MAX_MEMBERS)
    return `an array or object may have at most ${MAX_MEMBERS} members`;
  if (jsonbBytes > MAX_JSONB_BYTES) return `jsonb holds at most ${MAX_JSONB_BYTES} bytes`;
  return textBytes > MAX_TEXT_BYTES ? tooMuchText() : null;
}

function tooMuchText(): string {
  return `Postgres would write it as more than ${MAX_TEXT_BYTES} bytes of text`;
}

/** A UTF-16 unit makes three bytes at the most, and a comma or colon two. Only a number can make more. */
const MOST_BYTES = 3;
const MAY_HAVE_EXPONENT = /\d[eE][+-]?\d/;

/**
 * Adds up the sizes of payloads. To measure a small one would take longer than all else that is done with it, so
 * payloads are measured only if they may be too large together.
 */
export class TotalSize {
  /** The payloads that are not measured yet; `null` once they may be too large together. */
  private unmeasured: string[] | null = [];
  private atMost = 0;
  private measured = 0;

  constructor(private readonly max: number) {}

  /** Adds a payload's JSON text. Returns whether the payloads are too large now. */
  add(text: string): boolean {
    if (this.unmeasured === null) {
      this.measured += measure(text).textBytes;
      return this.measured > this.max;
    }
    this.unmeasured.push(text);
    this.atMost += MAY_HAVE_EXPONENT.test(text)
      ? measure(text).textBytes
      : MOST_BYTES * text.length;
    if (this.atMost <= this.max) return false;
    for (const each of this.unmeasured) this.measured += measure(each).textBytes;
    this.unmeasured = null;
    return this.measured > this.max;
  }
}

/** The sizes of a payload in Postgres. */
export interface Measure {
  /** As Postgres writes it. */
  textBytes: number;
  /** As Postgres keeps it, at the most. */
  jsonbBytes: number;
  /** How many members the array or object has that has the most. */
  mostMembers: number;
}

/**
 * Measures a JSON text that `JSON.stringify` has written, in one pass. Postgres writes a space after each
 * comma and colon, numbers without an exponent, and all else alike.
 */
export function measure(text: string): Measure {
  const outer: number[] = [];
  let here = 0;
  let [commas, colons, containers, empty, numbers, inStrings] = [0, 0, 0, 0, 0, 0];
  let [growth, mostMembers] = [0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      inStrings += end - at - 1;
      at = end;
    } else if (code === COMMA) {
      commas++;
      here++;
    } else if (code === COLON) {
      colons++;
    } else if (code >= MINUS && code <= NINE) {
      const end = endOfNumber(text, at);
      numbers++;
      growth += growthOf(text, at, end);
      at = end - 1;
    } else if (code === OPENING_BRACKET || code === OPENING_BRACE) {
      containers++;
      outer.push(here);
      here = 0;
    } else if (code === CLOSING_BRACKET || code === CLOSING_BRACE) {
      const isEmpty = here === 0 && opens(text.charCodeAt(at - 1));
      if (isEmpty) empty++;
      else mostMembers = Math.max(mostMembers, here + 1);
      here = outer.pop() ?? 0;
    }
  }
  const bytes = Buffer.byteLength(text);
  const members = commas + containers - empty;
  // An entry for each member, and one for its key. Outside of strings, a unit is a byte.
  const entries = 4 * (members + colons);
  const strings = bytes - (text.length - inStrings);
  return {
    textBytes: bytes + commas + colons + growth,
    jsonbBytes: entries + strings + NUMBER_BYTES * numbers + (4 + 3) * containers,
    mostMembers,
  };
}

function opens(code: number): boolean {
  return code === OPENING_BRACKET || code === OPENING_BRACE;
}

/** The place of the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

/** Whether an odd number of backslashes precedes. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

function endOfNumber(text: string, start: number): number {
  let end = start + 1;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === COMMA || code === CLOSING_BRACKET || code === CLOSING_BRACE) break;
  }
  return end;
}

const WITH_EXPONENT = /^(-?)(\d+)(?:\.(\d+))?e([+-]?\d+)$/i;

/** How many characters more a number has without its exponent. */
function growthOf(text: string, start: number, end: number): number {
  const number = text.slice(start, end);
  const [, sign = '', whole = '', fraction = '', exponent] = WITH_EXPONENT.exec(number) ?? [];
  if (exponent === undefined) return 0;
  const shift = Number(exponent);
  const decimals = Math.max(0, fraction.length - shift);
  const digits = Math.max(1, whole.length + shift) + (decimals > 0 ? 1 + decimals : 0);
  return sign.length + digits - number.length;
}
