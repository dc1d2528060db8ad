// VLANs of bridge mode: the container's port in one or several, and a gateway inside a VLAN.
// Needs a kernel with CONFIG_BRIDGE_VLAN_FILTERING; ensureBridge() has refused by now where that is missing.

import { isErrno } from '../kernel/errno.ts';
import { openOwnNetns } from '../kernel/netns.ts';
import { addPortVlans, deletePortVlans, type PortVlan } from '../kernel/rtnetlink/bridge-port.ts';
import { deleteLink, findLink, type Link, listLinks, MAX_LINK_NAME_BYTES, setLink } from '../kernel/rtnetlink/link.ts';
import { addVethPair } from '../kernel/rtnetlink/veth.ts';
import { digestOf } from '../protocol/digest.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../protocol/errors.ts';
import { FieldError } from '../protocol/fields.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { lockBridge } from './bridge-link.ts';
import type { Host, Undo } from './mode.ts';

/** The VLAN the kernel puts every new port of a filtering bridge in. */
const DEFAULT_VLAN = 1;

/** Put a port in the VLANs of the configuration: `vlan` untagged, those of `vlanTrunk` tagged. */
export function setPortVlans(host: Host, port: Link, config: BridgeConfig): void {
  if (config.vlan === 0 && config.vlanTrunk.length === 0) return;
  if (!config.preserveDefaultVlan) deletePortVlans(host.route, port, [DEFAULT_VLAN]);
  const vlans: PortVlan[] = config.vlanTrunk.map((id) => ({ id, isPvid: false, isUntagged: false }));
  // As the reference: a trunk without a VLAN of its own sends its untagged packets in VLAN 1.
  const native = config.vlan === 0 ? DEFAULT_VLAN : config.vlan;
  addPortVlans(host.route, port, [...vlans, { id: native, isPvid: true, isUntagged: true }]);
}

/** Name of the link that holds the gateway's addresses of a VLAN, e.g. "cni0.100". Throws FieldError when it is too long. */
export function vlanGatewayName(config: BridgeConfig): string {
  const name = `${config.bridge}.${config.vlan}`;
  if (Buffer.byteLength(name) > MAX_LINK_NAME_BYTES) {
    throw new FieldError(
      'bridge',
      `must be shorter, since the gateway's interface "${name}" can have 15 bytes at most`,
    );
  }
  return name;
}

/**
 * Find or make the link that is the gateway of a VLAN: one end of a veth pair, whose other end is a port of the bridge
 * in that VLAN. It stays when the containers go, as the bridge does.
 */
export function ensureVlanGateway(host: Host, bridge: Link, config: BridgeConfig, undo: Undo): Link {
  const name = vlanGatewayName(config);
  const portName = `veth${digestOf(`${config.bridge}\0${config.vlan}`).slice(0, 11)}`;
  if (!findLink(host.route, name)) {
    undo.push(`delete VLAN gateway "${name}"`, () => deleteUnusedGateway(host, bridge, name, portName));
    createVlanGateway(host, bridge, config, name, portName);
  }
  const gateway = findLink(host.route, name);
  if (gateway?.kind === 'veth') return gateway;
  throw gateway
    ? new CniError(
        ERR_ALREADY_EXISTS,
        `Cannot use "${name}" as gateway of VLAN ${config.vlan}: it already exists but is not a veth`,
      )
    : new CniError(ERR_KERNEL_REFUSED, `VLAN gateway "${name}" vanished while it was being made`);
}

function createVlanGateway(host: Host, bridge: Link, config: BridgeConfig, name: string, portName: string): void {
  const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
  const own = openOwnNetns();
  try {
    addVethPair(
      host.route,
      { name, isUp: true, ...mtu },
      { name: portName, masterIndex: bridge.index, ...mtu },
      own.fd,
    );
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error; // another ADD was faster
  } finally {
    own.close();
  }
  const port = findLink(host.route, portName);
  if (!port) return;
  setPortVlans(host, port, { ...config, vlanTrunk: [] });
  setLink(host.route, port, { isUp: true, masterIndex: bridge.index });
}

function deleteUnusedGateway(host: Host, bridge: Link, name: string, portName: string): void {
  const lock = lockBridge(host, bridge.name, 'exclusive');
  try {
    const others = listLinks(host.route).filter((link) => link.masterIndex === bridge.index && link.name !== portName);
    if (others.length === 0) deleteLink(host.route, name);
  } finally {
    lock.release();
  }
}
