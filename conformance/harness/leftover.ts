// What attachments with ports, limits and isolation leave behind, beyond the frame that is meant to stay.

import type { Host } from './host.ts';
import { AGAINST_REFERENCE } from './plugin.ts';
import type { Snapshot } from './snapshot.ts';
import { mustBeEmpty } from './verdict.ts';

/** A map without elements, as the sets that Host.leftSince() knows. */
const EMPTY_MAP = /^[+-] host nft (?!.*"elem":)\{"map":\{.*"podlink"/;
/** Of the reference: the chains that all containers share. Those of one container have a hash, or an address, in them. */
const SHARED_CHAINS = /^[+-] host nft (?!.*(CNI-DN-|CNI-[\da-f]{20}|10\.7\d\.|fd00:7))/;

/** Fail with the list of what is left since `before`. */
export function mustLeaveNothing(host: Host, before: Snapshot, what = 'left after DEL'): void {
  const left = host.leftSince(before).filter((line) => !EMPTY_MAP.test(line));
  mustBeEmpty(AGAINST_REFERENCE ? left.filter((line) => !SHARED_CHAINS.test(line)) : left, what);
}
