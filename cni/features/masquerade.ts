// Masquerading (`ipMasq`): what a container sends to other networks carries an address of the host.
//
// The rules are masquerade-ruleset.ts's and the same for all; an attachment is two elements for each of its addresses,
// one that has its packets masqueraded and one that excepts its own network, with the owner in their comments.
//
// Whose is an address that two attachments have named? An element belongs to whom its comment names. An ADD takes over
// what it finds: IPAM has given the address to it, so the element was left behind (by a node that lost its records, or
// by a plugin that was killed between releasing an address and removing its elements). A removal takes only elements
// with its owner's comment, so that the late DEL of a container which had the address before does no harm to the one
// that has it now. Between looking and deleting nobody can slip in: the batch names the generation of the ruleset that
// was looked at, and is refused if there has been another since.

import { Address4, Address6 } from 'ip-address';
import { AF_INET, encodeAddress, familyOf, networkOf, splitCidr } from '../kernel/netlink/address-bytes.ts';
import { isErrno } from '../kernel/errno.ts';
import type { Operation } from '../kernel/netlink/connection.ts';
import { isOutdated, type NftablesConnection } from '../kernel/nftables/connection.ts';
import {
  addElement,
  deleteElement,
  describeElement,
  type Element,
  findElement,
  listElements,
} from '../kernel/nftables/element.ts';
import { encodeKey } from '../kernel/nftables/key.ts';
import { checkRuleset, expectRuleset, repairRuleset, replaceRuleset } from '../kernel/nftables/ruleset.ts';
import type { Fields } from '../protocol/fields.ts';
import { MASQUERADE_RULESET, MASQUERADE_V4, MASQUERADE_V6 } from './masquerade-ruleset.ts';
import { type ElementOwner, ownerComment } from './podlink-table.ts';

/**
 * How often a change is tried again because somebody else has changed the ruleset meanwhile. Each time somebody has got
 * on, so that of N processes none waits for more than N changes.
 */
const ATTEMPTS = 200;

/**
 * Whether the configuration asks for masquerading. Throws FieldError.
 *
 * `ipMasqBackend` is accepted as the reference plugins know it; nftables does the work for both of its values.
 */
export function parseMasquerade(fields: Fields, warn: (message: string) => void): boolean {
  const isWanted = fields.boolean('ipMasq') ?? false;
  const backend = fields.oneOf('ipMasqBackend', ['iptables', 'nftables', '']);
  if (isWanted && backend === 'iptables') {
    warn(`"${fields.at('ipMasqBackend')}" is "iptables", but masquerading is done with nftables`);
  }
  return isWanted;
}

/**
 * Masquerade packets from the container's addresses, given as CIDRs: not those to the CIDRs' own networks, and not
 * multicast. In one batch, together with the rules if they are not there yet.
 *
 * Doing it again changes nothing; elements that another owner left for one of the addresses become this owner's.
 * Throws NetlinkError; nothing has changed then.
 */
export function applyMasquerade(nft: NftablesConnection, owner: ElementOwner, cidrs: readonly string[]): void {
  const wanted = elementsOf(cidrs, ownerComment(owner));
  if (wanted.length === 0) return;
  let isRulesetMissing = false;
  let mayReplace = false;
  retryWhileOutdated(() => {
    const generation = mayReplace ? nft.getGeneration() : undefined;
    const changes = wanted.flatMap((element) => (mayReplace ? replaceElement(nft, element) : [addElement(element)]));
    const ruleset = isRulesetMissing ? replaceRuleset(MASQUERADE_RULESET) : [expectRuleset(MASQUERADE_RULESET)];
    try {
      nft.commit([...ruleset, ...changes], generation);
      return true;
    } catch (error) {
      // The common case, an address that is new in a ruleset that is there, is over by now: it looks at nothing.
      if (isErrno(error, 'ENOENT') && !isRulesetMissing) isRulesetMissing = true;
      else if (isErrno(error, 'EEXIST') && !mayReplace) mayReplace = true;
      else throw error;
      return false;
    }
  });
}

/**
 * No longer masquerade packets from the addresses, given as CIDRs like to applyMasquerade().
 *
 * Elements of another owner stay. What is not there, the table included, is fine. Throws NetlinkError.
 */
export function removeMasquerade(nft: NftablesConnection, owner: ElementOwner, cidrs: readonly string[]): void {
  const comment = ownerComment(owner);
  const elements = elementsOf(cidrs, comment);
  retryWhileOutdated(() => {
    const generation = nft.getGeneration();
    const deletions = elements.flatMap((element) => {
      const found = findPresent(nft, element);
      return found?.comment === comment ? [deleteElement(found)] : [];
    });
    nft.commit(deletions, generation);
    return true;
  });
}

/**
 * The owner's masqueraded addresses, as CIDRs for removeMasquerade(), found by the comments of all elements.
 *
 * For a removal that is told nothing: the record, prevResult and the interface are all gone.
 */
export function findMasqueraded(nft: NftablesConnection, owner: ElementOwner): string[] {
  const comment = ownerComment(owner);
  return [MASQUERADE_V4, MASQUERADE_V6].flatMap(({ sources }) =>
    listElements(nft, sources)
      .filter((element) => element.comment === comment)
      .map((element) => `${describeElement(element)}/${element.key.length * 8}`),
  );
}

/** Say what keeps the addresses from being masqueraded as applyMasquerade() would have it; nothing when all is well. */
export function checkMasquerade(nft: NftablesConnection, owner: ElementOwner, cidrs: readonly string[]): string[] {
  const comment = ownerComment(owner);
  const problems = elementsOf(cidrs, comment).map((wanted) => {
    const [name, found] = [`element ${describeElement(wanted)} of set ${wanted.set.name}`, findPresent(nft, wanted)];
    if (!found) return `${name} is missing`;
    if (describeElement(found) !== describeElement(wanted)) return `${name} is ${describeElement(found)} instead`;
    return found.comment === comment ? undefined : `${name} belongs to ${found.comment ?? 'nobody'}`;
  });
  return [...checkRuleset(nft, MASQUERADE_RULESET), ...problems.filter((problem) => problem !== undefined)];
}

/** Make the rules whole again after someone has deleted or changed some of them. Elements stay as they are. */
export function repairMasquerade(nft: NftablesConnection): void {
  repairRuleset(nft, MASQUERADE_RULESET);
}

/** The operations after which an element is there as wanted, whatever is there now. */
function replaceElement(nft: NftablesConnection, wanted: Element): Operation[] {
  const found = findPresent(nft, wanted);
  if (!found) return [addElement(wanted)];
  const isAsWanted = found.comment === wanted.comment && describeElement(found) === describeElement(wanted);
  return isAsWanted ? [] : [deleteElement(found), addElement(wanted)];
}

/**
 * The element that stands where this one would. The excepted network may be another than wanted, if the address was
 * given out with another prefix length; it contains the address all the same, and that is how it is found.
 */
function findPresent(nft: NftablesConnection, { set, key }: Element): Element | undefined {
  const address = key.subarray(0, set.key[0]?.bytes);
  return findElement(nft, set, encodeKey(set.key, Array(set.key.length).fill(address)));
}

/** The elements for the addresses of an attachment. Throws RangeError or AddressError for what is no CIDR. */
function elementsOf(cidrs: readonly string[], comment: string): Element[] {
  return widestCidrs(cidrs).flatMap((cidr) => {
    const { address } = splitCidr(cidr);
    const { sources, exceptions } = familyOf(address) === AF_INET ? MASQUERADE_V4 : MASQUERADE_V6;
    const source = encodeAddress(address);
    const [first, last] = boundsOf(cidr);
    return [
      { set: sources, key: encodeKey(sources.key, [source]), comment },
      {
        set: exceptions,
        key: encodeKey(exceptions.key, [source, first]),
        keyEnd: encodeKey(exceptions.key, [source, last]),
        comment,
      },
    ];
  });
}

/** One CIDR an address: of several, the one whose network contains the others'. */
function widestCidrs(cidrs: readonly string[]): string[] {
  const byAddress = new Map<string, string>();
  for (const cidr of cidrs.toSorted((a, b) => splitCidr(a).prefixLength - splitCidr(b).prefixLength)) {
    const key = encodeAddress(splitCidr(cidr).address).join();
    if (!byAddress.has(key)) byAddress.set(key, cidr);
  }
  return [...byAddress.values()];
}

/** The first and the last address of a CIDR's network. */
function boundsOf(cidr: string): [Uint8Array, Uint8Array] {
  const { address } = splitCidr(cidr);
  const end = familyOf(address) === AF_INET ? new Address4(cidr).endAddress() : new Address6(cidr).endAddress();
  return [encodeAddress(splitCidr(networkOf(cidr)).address), encodeAddress(end.correctForm())];
}

/** Run `attempt` until it is done (true), also when its batch came too late for the generation it names. */
function retryWhileOutdated(attempt: () => boolean): void {
  for (let left = ATTEMPTS; ; left--) {
    try {
      if (attempt()) return;
    } catch (error) {
      if (!isOutdated(error) || left === 1) throw error;
    }
  }
}
