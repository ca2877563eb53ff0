import { clip, type Line, paint, widthOf } from './text.js';

const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';

export interface TerminalSize {
  columns: number;
  rows: number;
}

/**
 * Lines at the bottom of a terminal that are redrawn in place. Gives what to write and writes nothing,
 * so that one write can carry what goes away and what comes, and nothing flickers.
 */
export class LiveBlock {
  #lines: Line[] = [];
  #drawn: Line[] = [];

  constructor(private readonly colours: boolean) {}

  set lines(lines: Line[]) {
    this.#lines = lines;
  }

  draw({ columns, rows }: TerminalSize): string {
    if (this.#lines.length === 0) return '';
    // A line of full width would wrap in some terminals, and a block of full height would scroll.
    this.#drawn = this.#lines.slice(0, rows - 1).map((line) => clip(line, columns - 1));
    return hideCursor + this.#drawn.map((line) => `${paint(line, this.colours)}\n`).join('');
  }

  erase({ columns, rows }: TerminalSize): string {
    if (this.#drawn.length === 0) return '';
    // A terminal that was made narrower meanwhile has wrapped what was drawn.
    const height = this.#drawn
      .map((line) => Math.max(1, Math.ceil(widthOf(line) / columns)))
      .reduce((sum, lines) => sum + lines, 0);
    this.#drawn = [];
    return `\x1b[${Math.min(height, rows - 1)}A\r\x1b[J${showCursor}`;
  }
}
