// The configuration of bridge mode: keys, defaults and meaning of the reference bridge plugin, so that its configs work
// unchanged, and Docker's bridge options.

import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from '../../protocol/errors.ts';
import type { Fields } from '../../protocol/fields.ts';
import { type KeyValues, read, readKey } from '../../protocol/schema.ts';
import type { ModeRequest } from '../mode.ts';
import { publishesPorts } from '../shared/sharing.ts';
import { wantedMac, wantedMtu } from '../interface/interface-keys.ts';
import { BRIDGE_KEYS } from './keys.ts';

/** The keys of the mode, where `isGateway` is true with `isDefaultGateway` and `portIsolation` without `icc`, and: */
export interface BridgeConfig extends KeyValues<typeof BRIDGE_KEYS> {
  /** No way out of the bridge, for which cni/features/isolation/isolation.ts sees: its default route is for want of another. */
  readonly isInternal: boolean;
  /** Ports are published, by cni/features/portmap/portmap.ts: outsiders connect to the container. */
  readonly isPublishing: boolean;
  /** Bytes; undefined leaves the kernel's default. */
  readonly mtu: number | undefined;
  /** Of the container's interface; undefined lets the kernel choose. */
  readonly mac: string | undefined;
}

/** Read and check the configuration of bridge mode. Throws FieldError or CniError 4. */
export function parseBridgeConfig(request: ModeRequest): BridgeConfig {
  const { fields } = request.config;
  const values = read(fields, BRIDGE_KEYS);
  const config: BridgeConfig = {
    ...values,
    isGateway: values.isGateway || values.isDefaultGateway,
    // Docker's `icc`: the way through the bridge is closed here, the one through the host by cni/features/isolation/isolation.ts.
    portIsolation: fields.boolean('icc') === false || values.portIsolation,
    isInternal: fields.boolean('internal') ?? false,
    isPublishing: publishesPorts(request),
    mtu: wantedMtu(request),
    mac: wantedMac(request),
  };
  if (config.hairpinMode && config.promiscMode) {
    fields.refuse('promiscMode', 'cannot be true together with "hairpinMode"');
  }
  if (config.disableContainerInterface && request.hasIpam) {
    fields.refuse('disableContainerInterface', 'cannot be true together with "ipam": the addresses need the interface');
  }
  validateIfname(request.key.ifname);
  return config;
}

/** The name of a configuration's bridge. Throws FieldError. */
export function bridgeNameOf(fields: Fields): string {
  return readKey(fields, BRIDGE_KEYS, 'bridge');
}

/** Whether the host has an address of the network, which the configuration's containers reach it by. Throws FieldError. */
export function hasGateway(fields: Fields): boolean {
  return readKey(fields, BRIDGE_KEYS, 'isGateway') || readKey(fields, BRIDGE_KEYS, 'isDefaultGateway');
}

/** The container's interface is made here, beside its `lo`. */
function validateIfname(ifname: string): void {
  const fault = ifname.includes('%')
    ? `"${ifname}" contains "%", which the kernel takes for a pattern`
    : ifname === 'lo' && '"lo" is the loopback interface, which every network namespace has';
  if (fault) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_IFNAME: ${fault}`);
}
