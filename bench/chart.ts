/** Bar charts as SVG, by hand: readable on a light and on a dark page. */

export interface Bar {
  label: string;
  value: number;
  min: number;
  max: number;
  /** As it is printed beside the bar. */
  text: string;
  /** The package's own. */
  own: boolean;
}

export interface Chart {
  title: string;
  /** Under the title: what is measured, and whether less is better. */
  subtitle: string;
  bars: Bar[];
}

const width = 760;
const labelWidth = 230;
const textWidth = 150;
const barHeight = 20;
const step = 30;
const top = 62;

/** The system's setting is the reader's; where it is not known, these greys do for both. */
const style = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a; }
  .title { font-size: 15px; font-weight: 600; fill: #24292f; }
  .own { font-weight: 600; fill: #24292f; }
  rect { fill: #a3aab2; }
  rect.own { fill: #d9531e; }
  line { stroke: #57606a; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9da5ae; }
    .title, text.own { fill: #e6edf3; }
    rect { fill: #6e7681; }
    rect.own { fill: #f0763f; }
    line { stroke: #c9d1d9; }
  }`;

export function drawChart({ title, subtitle, bars }: Chart): string {
  const largest = Math.max(...bars.map(({ max }) => max));
  const scale = (value: number) =>
    ((value / largest) * (width - labelWidth - textWidth)).toFixed(1);
  const height = top + bars.length * step + 6;
  const drawn = bars.map(({ label, value, min, max, text, own }, index) => {
    const y = top + index * step;
    const middle = y + barHeight / 2;
    const left = (value: number) => labelWidth + Number(scale(value));
    const kind = own ? ' class="own"' : '';
    return `
  <text${kind} x="${labelWidth - 10}" y="${middle}" dy="0.35em" text-anchor="end">${escapeXml(label)}</text>
  <rect${kind} x="${labelWidth}" y="${y}" width="${scale(value)}" height="${barHeight}" rx="2"/>
  <line x1="${left(min)}" x2="${left(max)}" y1="${middle}" y2="${middle}"/>
  <text${kind} x="${left(max) + 8}" y="${middle}" dy="0.35em">${escapeXml(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">
  <style>${style}
  </style>
  <text class="title" x="0" y="18">${escapeXml(title)}</text>
  <text x="0" y="40">${escapeXml(subtitle)}</text>${drawn.join('')}
</svg>
`;
}

const escapeXml = (text: string) =>
  text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
