// The record of an attachment: what podlink made, or was about to make, for one (network, container, interface).

import type { RecordedNetns } from '../kernel/netns.ts';
import { isObject } from '../protocol/fields.ts';
import { hasControlCharacter, isInterfaceName, isName } from '../protocol/name.ts';
import type { Attached, AttachmentObjects } from './attachment.ts';

const RECORD_VERSION = 1;

/** An element of nftables, as it stands in a record: features/elements/recorded-element.ts writes and reads it. */
export interface RecordedElement {
  /** NFPROTO_* of the set's table. */
  readonly family: number;
  readonly set: string;
  /** Hexadecimal. */
  readonly key: string;
  /** Hexadecimal, of an interval. */
  readonly keyEnd?: string;
  /** Hexadecimal: the value, of an element of a map. */
  readonly data?: string;
}

export interface AttachmentRecord extends RecordedNetns {
  readonly version: typeof RECORD_VERSION;
  /** `adding`: ADD has not come to its end, and what it made may be there in part. */
  readonly state: 'adding' | 'complete';
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly mode: string;
  readonly objects: AttachmentObjects;
  /** CIDRs handed out by IPAM; empty until it has. */
  readonly addresses: readonly string[];
  /** What ADD returned of its own, once it is complete: what CHECK and repair compare the kernel with. */
  readonly result?: Attached;
  /** The objects that features made outside of nftables, by the features' names. */
  readonly features: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Its elements in nftables. */
  readonly elements: readonly RecordedElement[];
  /** Of these the ones whose place another interface of the container has, with their values; absent for none. */
  readonly waiting?: readonly RecordedElement[];
  /** Whether each element was put on record before it was added. Version 0.1.0 does not say so: its repair added others. */
  readonly hasAllElements?: boolean;
  /** The network configuration of ADD without prevResult, and its CNI_ARGS: DEL needs them when the runtime's are gone. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly cniArgs: string;
  readonly created: string;
}

/** Whether JSON is a record of this version. */
export function isRecord(value: unknown): value is AttachmentRecord {
  return (
    isObject(value) &&
    value.version === RECORD_VERSION &&
    ['netns', 'netnsIdentity', 'mode', 'cniArgs', 'created'].every((name) => isCleanText(value[name])) &&
    // They become names of files and of links, and words of the commands that doctor proposes.
    [value.network, value.containerId].every((name) => typeof name === 'string' && isName(name)) &&
    isLinkName(value.ifname) &&
    (value.netnsCookie === undefined || isCleanText(value.netnsCookie)) &&
    (value.hasAllElements === undefined || typeof value.hasAllElements === 'boolean') &&
    (value.state === 'adding' || value.state === 'complete') &&
    isObject(value.objects) &&
    Object.values(value.objects).every(isCleanText) &&
    [value.objects.hostInterface, value.objects.bridge].every((name) => name === undefined || isLinkName(name)) &&
    isObject(value.config) &&
    (value.result === undefined || isAttached(value.result)) &&
    isObject(value.features) &&
    Object.values(value.features).every(isObject) &&
    Array.isArray(value.elements) &&
    Array.isArray(value.waiting ?? []) &&
    Array.isArray(value.addresses) &&
    value.addresses.every((address) => typeof address === 'string')
  );
}

function isLinkName(value: unknown): boolean {
  return typeof value === 'string' && isInterfaceName(value) && !hasControlCharacter(value);
}

/** Text that can be handed to the kernel. */
function isCleanText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0');
}

function isAttached(value: unknown): value is Attached {
  return (
    isObject(value) &&
    [value.interfaces, value.ips, value.routes].every((list) => Array.isArray(list) && list.every(isObject)) &&
    isObject(value.dns)
  );
}
