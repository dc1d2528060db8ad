// The gateway of a VLAN: one end of a veth pair on the host holds its addresses, e.g. "cni0.100", and the other end is a port
// of the bridge in that VLAN alone. It belongs to all networks of that VLAN, and stays when the containers go, as the
// bridge does.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { isErrno } from '../../kernel/errno.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { openOwnNetns } from '../../kernel/netns.ts';
import { BR_STATE_DISABLED, bridgePortState } from '../../kernel/rtnetlink/link/bridge-port.ts';
import {
  deleteLink,
  findLink,
  findLinks,
  type Link,
  linkChange,
  MAX_LINK_NAME_BYTES,
  setLink,
} from '../../kernel/rtnetlink/link/link.ts';
import { addVethPair } from '../../kernel/rtnetlink/link/veth.ts';
import { digestOf } from '../../protocol/digest.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import { FieldError } from '../../protocol/fields.ts';
import { canonicalMac } from '../../protocol/mac.ts';
import type { BridgeConfig } from './config.ts';
import { randomMac, whileUnused } from './bridge-link.ts';
import { checkPortVlans, mendPortVlans, setVlansOfNewPort, untagged, type WantedVlans } from './vlan.ts';
import { waitForPort } from './port-state.ts';
import type { HostWork } from '../../attachment/attachment.ts';
import { trySysctl } from '../interface/sandbox-interface.ts';

/** Both ends of the pair: the gateway, and its port on the bridge. */
interface GatewayPair {
  readonly gateway: Link;
  readonly port: Link;
}

/** Name the link that holds the gateway's addresses of a VLAN; undefined when no link can have a name that long. */
export function findVlanGatewayName({ bridge, vlan }: BridgeConfig): string | undefined {
  const name = `${bridge}.${vlan}`;
  return Buffer.byteLength(name) > MAX_LINK_NAME_BYTES ? undefined : name;
}

/** Likewise. Throws FieldError when the name is too long. */
export function vlanGatewayName(config: BridgeConfig): string {
  const name = findVlanGatewayName(config);
  if (name !== undefined) return name;
  throw new FieldError(
    'bridge',
    `must be shorter, since the gateway's interface "${config.bridge}.${config.vlan}" can have 15 bytes at most`,
  );
}

/** The port's name follows from the bridge and the VLAN, so that it tells whose the pair is. */
function gatewayPortName({ bridge, vlan }: BridgeConfig): string {
  return `veth${digestOf(`${bridge}\0${vlan}`).slice(0, 11)}`;
}

/**
 * Find the gateway of a VLAN, or make it, and see that it is up, and its port in the VLAN on the bridge.
 *
 * Throws CniError 102 when something else has its name.
 */
export function ensureVlanGateway(work: HostWork, bridge: Link, config: BridgeConfig): Link {
  const { host } = work;
  const pair = findGatewayPair(host.route, bridge, config) ?? makeGatewayPair(work, bridge, config);
  mendGatewayPair(host.route, bridge, pair, config.vlan);
  return pair.gateway;
}

/**
 * Find what is wrong with the gateway of a VLAN and its port on the bridge. `reportedMac`: the address that ADD reported,
 * which the containers know.
 */
export function checkVlanGateway(
  route: NetlinkConnection,
  bridge: Link,
  config: BridgeConfig,
  reportedMac: string | undefined,
): AttachmentDiagnosis[] {
  const name = vlanGatewayName(config);
  const gateway = findLink(route, name);
  if (!gateway) return [diagnose('vlan-gateway-gone', { subject: name, object: config.vlan })];
  if (gateway.kind !== 'veth') return [diagnose('vlan-gateway-not-veth', { subject: name, object: config.vlan })];
  const problems: AttachmentDiagnosis[] = [];
  if (!gateway.isUp) problems.push(diagnose('vlan-gateway-down', { subject: name }));
  if (reportedMac && canonicalMac(reportedMac) !== gateway.mac) {
    problems.push(diagnose('vlan-gateway-mac-differs', { subject: name, expected: reportedMac, found: gateway.mac }));
  }
  const port = portOf(route, gateway);
  if (!port) return [...problems, diagnose('vlan-gateway-port-gone', { subject: name })];
  const subject = { subject: port.name, of: name };
  if (!port.isUp) problems.push(diagnose('vlan-gateway-port-down', subject));
  if (port.masterIndex !== bridge.index) {
    return [...problems, diagnose('vlan-gateway-port-not-on-bridge', { ...subject, object: bridge.name })];
  }
  return [...problems, ...checkPortVlans(route, { bridge, port, gateway }, wantedVlansOf(config.vlan))];
}

/** Not those of a network's configuration: the port serves all networks of the VLAN. */
function wantedVlansOf(vlan: number): WantedVlans {
  return { vlans: [untagged(vlan)], mayHaveMore: false };
}

/** The link whose packets arrive at the other, if it is in the host's namespace. */
function portOf(route: NetlinkConnection, gateway: Link): Link | undefined {
  if (gateway.peerIndex === undefined || gateway.peerNetnsId !== undefined) return undefined;
  return findLink(route, gateway.peerIndex);
}

function findGatewayPair(route: NetlinkConnection, bridge: Link, config: BridgeConfig): GatewayPair | undefined {
  const name = vlanGatewayName(config);
  const portName = gatewayPortName(config);
  const [gateway, ownPort] = findLinks(route, [name, portName]);
  if (!gateway) {
    if (ownPort)
      throw notOurs(config, `its port "${portName}" is there already, as the other end of another interface`);
    return undefined;
  }
  if (gateway.kind !== 'veth') throw notOurs(config, 'it already exists but is not a veth');
  const port = gateway.peerIndex === ownPort?.index ? ownPort : portOf(route, gateway);
  if (!port) throw notOurs(config, 'it already exists, and its other end is in another namespace');
  if (port !== ownPort && port.masterIndex !== bridge.index) {
    throw notOurs(
      config,
      `it already exists, and its other end "${port.name}" is not a port of bridge "${bridge.name}"`,
    );
  }
  return { gateway, port };
}

function notOurs(config: BridgeConfig, reason: string): CniError {
  const name = vlanGatewayName(config);
  return new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot use "${name}" as gateway of VLAN ${config.vlan}: ${reason} (remove or rename it)`,
  );
}

function makeGatewayPair({ host, undo }: HostWork, bridge: Link, config: BridgeConfig): GatewayPair {
  const name = vlanGatewayName(config);
  const portName = gatewayPortName(config);
  const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
  undo.push(`delete VLAN gateway "${name}"`, () =>
    whileUnused(host, config, () => void deleteLink(host.route, portName)),
  );
  const own = openOwnNetns();
  try {
    addVethPair(
      host.route,
      // The port down: it must not pass anything before it has left the default VLAN. The kernel takes no master for
      // the far end, nor lets it be up.
      { name: portName, masterIndex: bridge.index, mac: randomMac(), ...mtu },
      { name, mac: randomMac(), ...mtu },
      own.fd,
    );
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error; // another ADD was faster
  } finally {
    own.close();
  }
  const pair = findGatewayPair(host.route, bridge, config);
  if (!pair) throw new CniError(ERR_KERNEL_REFUSED, `VLAN gateway "${name}" vanished while it was being made`);
  setVlansOfNewPort(host.route, bridge, pair.port, wantedVlansOf(config.vlan));
  // As for the bridge: it takes addresses from nobody, and its random MAC is nobody else's.
  for (const link of [name, portName]) trySysctl(['ipv6', 'conf', link, 'accept_ra'], '0');
  trySysctl(['ipv6', 'conf', name, 'accept_dad'], '0');
  return pair;
}

/** See that the gateway is reached. Several ADDs may do this at once. */
function mendGatewayPair(route: NetlinkConnection, bridge: Link, { gateway, port }: GatewayPair, vlan: number): void {
  if (port.masterIndex !== bridge.index) setLink(route, port, { masterIndex: bridge.index });
  mendPortVlans(route, port, wantedVlansOf(vlan));
  const down = [port, gateway].filter(({ isUp }) => !isUp);
  route.executeAll(down.map((link) => linkChange(link, { isUp: true })));
  if ((bridgePortState(port) ?? BR_STATE_DISABLED) === BR_STATE_DISABLED) waitForPort(route, port);
}
