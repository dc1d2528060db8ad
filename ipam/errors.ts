// What can go wrong in address management that the configuration's text alone does not show (that is FieldError).

/** A container's interface in a network: who a reservation belongs to. */
export interface AttachmentOwner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/**
 * config: the configuration contradicts itself. argument: what this call asks for does not fit the configuration.
 * exhausted: no address is free. taken: the address, or the owner's place, is held already. locked: somebody else holds
 * the network's lock. store: the file system refused. missing: CHECK found no such reservation.
 */
export type IpamErrorKind = 'config' | 'argument' | 'exhausted' | 'taken' | 'locked' | 'store' | 'missing';

export interface IpamErrorFacts {
  /** The range set it is about, as `10.1.2.1-10.1.2.254,10.1.3.1-10.1.3.9`. */
  readonly range?: string;
  /** Who holds the address; `ifname` is missing in reservations of the oldest format. */
  readonly owner?: { readonly containerId: string; readonly ifname?: string };
  /** The environment variable of the call that an `argument` stands in. */
  readonly variable?: 'CNI_ARGS';
  readonly cause?: unknown;
}

/**
 * A failure of address management. `message` names no container but the one that asks, `owner` the one that holds what it
 * wants; a file system's own words are in `cause`.
 */
export class IpamError extends Error {
  override readonly name = 'IpamError';
  readonly kind: IpamErrorKind;
  readonly range?: string;
  readonly owner?: { readonly containerId: string; readonly ifname?: string };
  readonly variable?: 'CNI_ARGS';

  constructor(kind: IpamErrorKind, message: string, facts: IpamErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.kind = kind;
    if (facts.range !== undefined) this.range = facts.range;
    if (facts.owner !== undefined) this.owner = facts.owner;
    if (facts.variable !== undefined) this.variable = facts.variable;
  }
}

/** Throw what was collected: nothing, the one error itself, or an AggregateError of all. */
export function throwCollected(errors: readonly unknown[], message: string): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, message);
}
