// Taking an attachment away: what DEL, GC and an ADD that finds the remains of a killed one have in common.
//
// What there is to remove is known from the record of ADD. Without one (first run after an upgrade, /run wiped) it is
// gathered from the configuration, prevResult and the names of our links. Every step is taken, whatever becomes of the
// others, and what is gone already is fine.

import { parseMasquerade, removeMasquerade } from '../features/masquerade.ts';
import { openNftables } from '../kernel/nftables/connection.ts';
import type { AttachmentObjects, Mode, Sandbox } from '../modes/mode.ts';
import { DEFAULT_MODE, findMode } from '../modes/mode-registry.ts';
import { selectMode } from '../modes/mode-selection.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { type AttachmentKey, type NetworkConfig, parseNetworkConfig } from '../protocol/config.ts';
import type { AttachmentRequest, Environment } from '../protocol/request.ts';
import { keyOf } from './attachment-key.ts';
import { type AttachmentRecord, deleteRecord } from './attachment-record.ts';
import type { Context } from './context.ts';
import { findIpam, type Ipam } from './ipam.ts';

/** Everything there is to remove of one attachment. */
export interface Removal {
  readonly key: AttachmentKey;
  readonly mode: Mode;
  readonly objects: AttachmentObjects;
  /** CNI_NETNS of ADD; empty when it is not on record. */
  readonly netnsPath: string;
  /** CIDRs that are masqueraded. */
  readonly masqueraded: readonly string[];
  readonly ipam: Ipam | undefined;
}

/** What a record says is there. `path`: where a foreign IPAM plugin is looked for, the runtime's CNI_PATH of today. */
export function removalOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): Removal {
  const stdin = JSON.stringify(record.config);
  const config = parseNetworkConfig(stdin);
  const key = { network: record.network, containerId: record.containerId, ifname: record.ifname };
  const env: Environment = {
    ...context.env,
    CNI_CONTAINERID: record.containerId,
    CNI_IFNAME: record.ifname,
    CNI_NETNS: record.netns,
    CNI_ARGS: record.cniArgs,
  };
  return {
    key,
    mode: findMode(record.mode) ?? DEFAULT_MODE,
    objects: record.objects,
    netnsPath: record.netns,
    masqueraded: record.masquerade ? record.addresses : [],
    ipam: attempt(context, () =>
      findIpam({ key, config, cniArgs: parseCniArgs(record.cniArgs), path, env, stdin, warn: context.warn }),
    ),
  };
}

/** What can be known without a record. A configuration that is broken by now must not keep anything from being removed. */
export function removalOfRequest(request: AttachmentRequest, context: Context): Removal {
  const { config } = request;
  const key = keyOf(request);
  const isMasqueraded = attempt(context, () => parseMasquerade(config.fields, context.warn)) ?? false;
  return {
    key,
    mode: attempt(context, () => findMode(selectMode(config, request.args).mode)) ?? DEFAULT_MODE,
    objects: {},
    netnsPath: '',
    masqueraded: isMasqueraded ? reportedAddresses(config, key.ifname) : [],
    ipam: attempt(context, () =>
      findIpam({ ...request, key, cniArgs: request.args, env: context.env, warn: context.warn }),
    ),
  };
}

/** The addresses prevResult has for the interface; none when there is no prevResult that can be read. */
function reportedAddresses(config: NetworkConfig, ifname: string): string[] {
  try {
    const result = config.prevResult();
    return (result?.ips ?? [])
      .filter((ip) => ip.interface === undefined || result?.interfaces[ip.interface]?.name === ifname)
      .map(({ address }) => address);
  } catch {
    return []; // a torn cache of the runtime's (https://github.com/containernetworking/cni/issues/1055) is no reason to fail
  }
}

function attempt<Value>(context: Context, work: () => Value): Value | undefined {
  try {
    return work();
  } catch (error) {
    context.warn(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/**
 * Remove an attachment: link, nftables elements, reservations, and last its record, which stays if anything else did.
 * The link goes before its address is free, or another container could get an address that still answers.
 *
 * Throws AggregateError with everything that could not be removed.
 */
export function removeAttachment(context: Context, removal: Removal, sandbox: Sandbox | undefined): void {
  const errors: unknown[] = [];
  const step = (work: () => void) => {
    try {
      work();
    } catch (error) {
      errors.push(error);
    }
  };
  step(() => removal.mode.detach(context, { ...removal, sandbox }));
  if (removal.masqueraded.length > 0)
    step(() => withNftables((nft) => removeMasquerade(nft, removal.key, removal.masqueraded)));
  if (removal.ipam) step(() => removal.ipam?.release());
  if (errors.length === 0) step(() => deleteRecord(context.runDir, removal.key));
  if (errors.length > 0) throw new AggregateError(errors, 'Cannot remove everything of the attachment');
}

/** Run `work` with nftables of the host open. */
export function withNftables<Value>(work: (nft: ReturnType<typeof openNftables>) => Value): Value {
  const nft = openNftables();
  try {
    return work(nft);
  } finally {
    nft.close();
  }
}
