// The part of the README that the bench writes: what stands between two comments.

const BEGIN = '<!-- bench: written by `npm run bench -- --write`, not by hand -->';
const END = '<!-- bench: end -->';

/** Put a text between the comments. Throws Error that shows them when they are not there, once and in this order. */
export function replaceBench(readme: string, text: string): string {
  const [before, rest, ...again] = readme.split(BEGIN);
  const [, after, ...more] = rest?.split(END) ?? [];
  if (before === undefined || after === undefined || again.length + more.length > 0)
    throw new Error(`README.md has no place for the tables: it must have these two lines, once\n${BEGIN}\n${END}`);
  return `${before}${BEGIN}\n${text.trim()}\n${END}${after}`;
}
