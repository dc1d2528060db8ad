// CNI_ARGS: `KEY=VALUE` pieces joined by `;`.
//
// More tolerant than the reference library, which refuses an empty piece (a trailing `;`) and a value that
// holds `=`. Unknown keys are never an error, so `IgnoreUnknown` needs no meaning here.

/** CNI_ARGS, as far as it can be read. */
export interface CniArgs {
  readonly args: ReadonlyMap<string, string>;
  /** The first piece without a key or without "="; undefined when there is none. */
  readonly malformed: string | undefined;
}

/** Read CNI_ARGS. A piece is cut at its first `=`; of two pieces with one key the last wins. */
export function readCniArgs(text: string): CniArgs {
  const args = new Map<string, string>();
  let malformed: string | undefined;
  for (const piece of text.split(';')) {
    if (piece === '') continue;
    const cut = piece.indexOf('=');
    if (cut < 1) malformed ??= piece;
    else args.set(piece.slice(0, cut), piece.slice(cut + 1));
  }
  return { args, malformed };
}

/** The arguments on record, which were well formed when they were recorded. */
export function parseCniArgs(text: string): ReadonlyMap<string, string> {
  return readCniArgs(text).args;
}
