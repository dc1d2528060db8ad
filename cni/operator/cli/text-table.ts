// Text for people: aligned columns, and words in colour where a terminal shows them.

export type Colour = 'red' | 'green' | 'yellow' | 'bold' | 'dim';

/** Put a text into a colour, or leave it as it is where none is to be seen. */
export type Style = (colour: Colour, text: string) => string;

export const PLAIN: Style = (_, text) => text;

/** The style for standard output. `util` is loaded only where there is something to colour. */
export function styleFor(isTerminal: boolean): Style {
  if (!isTerminal) return PLAIN;
  const { styleText } = process.getBuiltinModule('node:util');
  return (colour, text) => styleText(colour, text, { validateStream: false });
}

/** A cell: its text, and the colour of it if any. */
export type Cell = string | { readonly text: string; readonly colour: Colour };

/**
 * Lay out rows below their titles, two spaces between the columns and none at the end of a line. An empty cell shows "-".
 *
 * Control characters of a cell are shown as escapes: what stands in a record must not steer a terminal.
 */
export function formatTable(titles: readonly string[], rows: readonly (readonly Cell[])[], style: Style): string {
  const cells = rows.map((row) =>
    row.map((cell) => ({ text: printable(textOf(cell)) || '-', colour: colourOf(cell) })),
  );
  const widths = titles.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.text.length ?? 0)));
  const head = titles.map((title, i) => title.padEnd(widths[i] ?? 0)).join('  ');
  const lines = cells.map((row) =>
    row
      .map(({ text, colour }, i) => {
        const padding = i === row.length - 1 ? '' : ' '.repeat((widths[i] ?? 0) - text.length);
        return (colour ? style(colour, text) : text) + padding;
      })
      .join('  '),
  );
  return [style('bold', head.trimEnd()), ...lines.map((line) => line.trimEnd())].join('\n');
}

/** Lay out `name: value` lines with the values in one column; of several values each gets a line. */
export function formatPairs(pairs: readonly (readonly [name: string, value: string | readonly string[]])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 1;
  return pairs
    .flatMap(([name, value]) => {
      const values = typeof value === 'string' ? [value] : value;
      return values.map((text, i) => `${(i === 0 ? `${name}:` : '').padEnd(width)}  ${printable(text) || '-'}`);
    })
    .join('\n');
}

/** A word, or a command between quotes, which can only be copied as a whole. */
const WORD = /(?:`[^`]*`|"podlink [^"]*"|\S)+/g;

/** Break a text into lines of at most `width` characters, at spaces; a longer word, or command, gets a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(WORD) ?? []) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** `1 network`, `2 networks`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** Control characters as escapes: what stands in a file must not steer a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

function colourOf(cell: Cell): Colour | undefined {
  return typeof cell === 'string' ? undefined : cell.colour;
}
