/** Text that Postgres can store, and text that can stand in a message or a log. */

/** With the flag `u`, a pair is one character, and not in this range. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const LONE_SURROGATES = /[\ud800-\udfff]/gu;
const REPLACEMENT = '\ufffd';

/** Whether Postgres can store the text: no `\u0000`, and no surrogate without its other half. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && !LONE_SURROGATE.test(text);
}

/** The text, with U+FFFD in place of characters that Postgres cannot store (`\u0000`, lone surrogates). */
export function wellFormed(text: string): string {
  return text.replaceAll('\0', REPLACEMENT).replace(LONE_SURROGATES, REPLACEMENT);
}

/** Control characters, line ends of Unicode, and characters that turn the direction of the text behind them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The text for a line of a log: nothing in it ends the line, moves the cursor or hides the text beside it. */
export function inLine(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    // As JSON has them, which knows short forms of a few.
    return code < 0x20
      ? JSON.stringify(character).slice(1, -1)
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
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

const LONGEST_NAME = 40;

/** A name that the user chose, as it can stand in a message: short, and with nothing that a log could not show. */
export function quoted(name: string): string {
  return inLine(JSON.stringify(clip(name, LONGEST_NAME)));
}
