/** Words and numbers as the demo writes them, and their colours. Knows nothing of jobs. */

export const number = (value: number) => value.toLocaleString('en-US');

export const counted = (count: number, noun: string) =>
  `${number(count)} ${noun}${count === 1 ? '' : 's'}`;

/** "0.31 s", "4.2 s", "31 s" */
export function duration(ms: number): string {
  const digits = ms < 1_000 ? 2 : ms < 10_000 ? 1 : 0;
  return `${(ms / 1000).toFixed(digits)} s`;
}

/** "a, b and c" */
export function listed(items: readonly (string | number)[]): string {
  return new Intl.ListFormat('en-GB').format(items.map(String));
}

/** Breaks a text between words; a word that is wider than a line stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line ? `${line} ${word}` : word;
    }
  }
  return [...lines, line];
}

const codes = { plain: '', bold: '1', dim: '2', red: '31', green: '32', yellow: '33', cyan: '36' };

export type Tone = keyof typeof codes;

/** Part of a line. Widths are reckoned before colours are put in. */
export interface Span {
  text: string;
  tone?: Tone;
}

export type Line = Span[];

export const span = (text: string, tone: Tone = 'plain'): Span => ({ text, tone });

export function clip(line: Line, width: number): Line {
  let left = width;
  return line.map(({ text, tone }) => {
    const kept = text.slice(0, Math.max(0, left));
    left -= kept.length;
    return { text: kept, tone };
  });
}

/** As `paint` puts it: without the spaces at the end. */
export const widthOf = (line: Line) =>
  line
    .map(({ text }) => text)
    .join('')
    .trimEnd().length;

export function paint(line: Line, colours: boolean): string {
  return line
    .map(({ text, tone = 'plain' }) =>
      colours && codes[tone] && text ? `\x1b[${codes[tone]}m${text}\x1b[0m` : text,
    )
    .join('')
    .trimEnd();
}
