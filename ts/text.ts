/** What Postgres can store as text, and how to make any text so. */

/** With the flag `u`, a pair is one character, and not in this range. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const LONE_SURROGATES = /[\ud800-\udfff]/gu;
const REPLACEMENT = '\ufffd';

/** Whether Postgres can store the text: no `\u0000`, and no surrogate without its other half. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && !LONE_SURROGATE.test(text);
}

/** The text with what Postgres cannot store (`\u0000`, lone surrogates) replaced by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replaceAll('\0', REPLACEMENT).replace(LONE_SURROGATES, REPLACEMENT);
}

/** The text, or as much of it as fits into `max` UTF-16 units together with an ellipsis. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** Whether the text has at most `max` characters as Postgres counts them, which is by code points. */
export function hasAtMost(max: number, text: string): boolean {
  return text.length <= max || (text.length <= 2 * max && [...text].length <= max);
}
