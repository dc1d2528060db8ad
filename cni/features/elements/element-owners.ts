// The owners of the elements that an attachment finds where it wants to have its own, and the way it treats each.

import type { AttachmentKey } from '../../protocol/config.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { ownerComment, readOwnerComment } from '../../attachment/marks.ts';

/**
 * How the owner that a comment names stands to an attachment: itself; a sibling, which is another interface of the same
 * container; gone, with the interface that it was; or another, which may be in use.
 */
export type Relation = 'self' | 'sibling' | 'gone' | 'other';

/** Everything that an attachment can learn of the owners of elements. */
export interface Owners {
  relationOf(comment: string | undefined): Relation;
  /** Tell the operator something that is no error, and that nobody else is to read. */
  warn(message: string): void;
}

/** Which of an attachment's elements can be had. */
export interface ElementClaim {
  /** The generation of the ruleset from before it was looked at: what follows counts for that one. */
  readonly generation: number;
  /** Those of its elements that wait: a sibling has their place. */
  readonly waiting: readonly Element[];
  /** Elements that are in the way, and whose owners are gone. */
  readonly abandoned: readonly Element[];
  /** The message for the operator when it is done. */
  readonly notices: readonly string[];
}

/** The answers that comments alone give. */
export function ownersByComment(owner: AttachmentKey): Owners {
  const own = ownerComment(owner);
  return {
    relationOf(comment) {
      if (comment === own) return 'self';
      return readOwnerComment(comment)?.containerId === owner.containerId ? 'sibling' : 'other';
    },
    warn: () => undefined,
  };
}

/** Name the owner of an element to the operator. */
export function describeOwner(comment: string | undefined): string {
  const owner = readOwnerComment(comment);
  if (owner) return `container "${owner.containerId}" (network "${owner.network}", interface "${owner.ifname}")`;
  return comment === undefined ? 'somebody unknown' : `"${comment}"`;
}
