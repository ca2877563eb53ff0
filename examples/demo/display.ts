import { LiveBlock, type TerminalSize } from './live-block.js';
import { type Progress, panel, progressText } from './panel.js';
import { type Line, paint, span, type Tone, wrap } from './text.js';

const timeWidth = 8;
const lineIntervalMs = 2_000;
const sameLineIntervalMs = 5_000;

/**
 * What the demo tells. What happened becomes a line that stays; how far things are is redrawn in place
 * in a terminal, and elsewhere becomes a line now and then.
 */
export class Display {
  #startedAt = performance.now();
  readonly #stream = process.stdout;
  readonly #colours: boolean;
  readonly #block: LiveBlock | undefined;
  #lastText = '';
  #lastTextAt = Number.NEGATIVE_INFINITY;

  constructor() {
    const isTerminal = this.#stream.isTTY && process.env.TERM !== 'dumb';
    // hasColors knows NO_COLOR, FORCE_COLOR and what the terminal can do.
    this.#colours = isTerminal && this.#stream.hasColors();
    if (isTerminal) this.#block = new LiveBlock(this.#colours);
  }

  /** Counts time anew from now on. */
  restartClock(): void {
    this.#startedAt = performance.now();
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** How wide a line may be. */
  get width(): number {
    return this.#block ? Math.min(100, this.#size.columns - 1) : 100;
  }

  /** What happened, beside the time since the start. */
  say(text: string, tone: Tone = 'plain'): void {
    const time = `${(this.elapsedMs / 1000).toFixed(1)}s`.padStart(timeWidth - 2);
    const lines = wrap(text, this.width - timeWidth);
    this.print(
      lines.map((line, index) => [
        span(index === 0 ? `${time}  ` : ' '.repeat(timeWidth), 'dim'),
        span(line, tone),
      ]),
    );
  }

  /** What a program printed. */
  quote(text: string): void {
    const lines = text.trimEnd().split('\n');
    this.print(lines.map((line) => [span(`${' '.repeat(timeWidth)}${line}`, 'dim')]));
  }

  print(lines: Line[]): void {
    const text = lines.map((line) => `${paint(line, this.#colours)}\n`).join('');
    this.#aroundBlock(text);
  }

  progress(progress: Progress): void {
    if (this.#block) {
      this.#aroundBlock('', panel(progress, this.#size.columns));
    } else {
      this.#progressLine(progressText(progress));
    }
  }

  /** Takes the progress away and gives the terminal back as it was. */
  endProgress(): void {
    this.#aroundBlock('', []);
  }

  #progressLine(text: string): void {
    const now = performance.now();
    const interval = text === this.#lastText ? sameLineIntervalMs : lineIntervalMs;
    if (now - this.#lastTextAt < interval) return;
    this.#lastText = text;
    this.#lastTextAt = now;
    this.say(text);
  }

  /** Writes above the block and, in the same breath, the block anew. */
  #aroundBlock(text: string, blockLines?: Line[]): void {
    const size = this.#size;
    const erase = this.#block?.erase(size) ?? '';
    if (this.#block && blockLines) this.#block.lines = blockLines;
    this.#stream.write(erase + text + (this.#block?.draw(size) ?? ''));
  }

  /** Some terminals do not know their size. */
  get #size(): TerminalSize {
    return { columns: this.#stream.columns || 80, rows: this.#stream.rows || 24 };
  }
}
