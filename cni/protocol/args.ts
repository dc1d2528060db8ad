// CNI_ARGS: `KEY=VALUE` pieces joined by `;`.
//
// More tolerant than the reference library, which refuses an empty piece (a trailing `;`) and a value that
// holds `=`. Unknown keys are never an error, so `IgnoreUnknown` needs no meaning here.

import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from './errors.ts';

/**
 * Parse CNI_ARGS. A piece is cut at its first `=`; of two pieces with one key the last wins.
 *
 * Throws CniError 4 naming the piece when one has no key or no `=`.
 */
export function parseCniArgs(text: string): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const piece of text.split(';')) {
    if (piece === '') continue;
    const cut = piece.indexOf('=');
    if (cut < 1)
      throw new CniError(
        ERR_INVALID_ENVIRONMENT_VARIABLES,
        `Invalid CNI_ARGS: "${piece}" must be KEY=VALUE`,
        `CNI_ARGS="${text}"`,
      );
    args.set(piece.slice(0, cut), piece.slice(cut + 1));
  }
  return args;
}
