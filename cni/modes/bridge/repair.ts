// Repair of bridge mode: makes what checkBridgeAttachment() misses, where it can be made again without the runtime. A
// veth pair that is gone is not among it: what runs in the container has bound to the interface it had.

import { canonicalCidr } from '../../address/ip.ts';
import { isErrno } from '../../kernel/errno.ts';
import { addAddress, IFA_F_NODAD, listAddresses } from '../../kernel/rtnetlink/address.ts';
import { isVlanFiltering, turnOnVlanFiltering } from '../../kernel/rtnetlink/link/bridge.ts';
import { setBridgePort } from '../../kernel/rtnetlink/link/bridge-port.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { findLink, type Link, setLink } from '../../kernel/rtnetlink/link/link.ts';
import { deleteNeighbour, listNeighbours } from '../../kernel/rtnetlink/neighbour.ts';
import { addRoute } from '../../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { canonicalMac } from '../../protocol/mac.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../../protocol/errors.ts';
import { type Interface, type Ip, ipsOf } from '../../protocol/result/result.ts';
import type { BridgeConfig } from './config.ts';
import { ensureBridge, ensureGatewayAddresses, findBridge, lockBridge } from './bridge-link.ts';
import { mendPortVlans, wantedVlansOf } from './vlan.ts';
import { familiesOf, gatewayCidrs } from '../interface/gateway.ts';
import { ensureForwarding } from '../interface/forwarding.ts';
import { hostInterfaceAlias, hostInterfaceName } from '../../attachment/marks.ts';
import type { Attached, Attachment, Host } from '../../attachment/attachment.ts';
import { kernelRoutes } from '../interface/sandbox-interface.ts';
import { ensureVlanGateway, vlanGatewayName } from './vlan-gateway.ts';

/** An attachment that is repaired. */
interface BridgeRepair {
  readonly attachment: Attachment;
  readonly config: BridgeConfig;
  readonly expected: Attached;
}

/**
 * Make what is missing. Does nothing for an attachment whose veth pair is gone. Returns what the attachment is now if that
 * is not what was expected: the gateway has the MAC address it has, see repairBridge(). Throws NetlinkError or CniError.
 *
 * `expected`: what ADD has made, or the last repair.
 */
export function repairBridgeAttachment(
  attachment: Attachment,
  config: BridgeConfig,
  expected: Attached,
): Attached | undefined {
  const hostEnd = findLink(attachment.host.route, hostInterfaceName(attachment.key));
  if (!hostEnd) return undefined;
  const repair: BridgeRepair = { attachment, config, expected };
  const gateway = repairHostSide(repair, hostEnd);
  repairSandboxSide(repair, hostEnd, gateway);
  return gateway && withMacOf(gateway, expected);
}

function repairHostSide(repair: BridgeRepair, hostEnd: Link): Link | undefined {
  const { attachment, config } = repair;
  const { key, host } = attachment;
  const lock = lockBridge(host, config.bridge, 'shared');
  try {
    const vlans = wantedVlansOf(config);
    const present = findBridge(host.route, config.bridge);
    if (!present) refuseRenamed(host, config, hostEnd);
    if (vlans && present && !isVlanFiltering(present)) turnOnVlanFiltering(host.route, present);
    const { bridge, gateway } = repairBridge(repair);
    const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
    setLink(host.route, hostEnd, { masterIndex: bridge.index, isUp: true, ...mtu });
    const flags = { hairpin: config.hairpinMode, isolated: config.portIsolation };
    setBridgePort(host.route, hostEnd, flags, hostInterfaceAlias(key));
    if (vlans) mendPortVlans(host.route, hostEnd, vlans);
    return gateway;
  } finally {
    lock.release();
  }
}

/**
 * A bridge that has got another name has the network still: a new one of the old name would take its place in nothing.
 *
 * Throws CniError 102.
 */
function refuseRenamed(host: Host, { bridge }: BridgeConfig, { masterIndex }: Link): void {
  if (masterIndex === undefined) return;
  const master = findLink(host.route, masterIndex);
  if (master?.kind !== 'bridge') return;
  throw new CniError(
    ERR_ALREADY_EXISTS,
    `Bridge "${bridge}" has been renamed to "${master.name}", which rules and sysctls do not know: rename it back, or recreate the containers with "bridge": "${master.name}"`,
  );
}

/**
 * The bridge and the link that has the gateway's addresses.
 *
 * Containers have learnt the gateway's MAC address. A link that has to be made gets the one it had. One that is there
 * keeps its own: it is another ADD's by now, or an operator's, and to change it would take the gateway from other
 * containers. The record follows then.
 */
function repairBridge({ attachment, config, expected }: BridgeRepair): { bridge: Link; gateway: Link | undefined } {
  const { key, host } = attachment;
  const gatewayName = config.vlan === 0 ? config.bridge : vlanGatewayName(config);
  const isMissing = config.isGateway && findLink(host.route, gatewayName) === undefined;
  const bridge = ensureBridge(attachment, config);
  if (!config.isGateway) return { bridge, gateway: undefined };
  const link = config.vlan === 0 ? bridge : ensureVlanGateway(attachment, bridge, config);
  const mac = canonicalMac(reportedLink(expected, link)?.mac ?? '');
  if (isMissing && mac !== undefined && mac !== link.mac) setLink(host.route, link, { mac });
  const gateway = findLink(host.route, link.index) ?? link;
  const cidrs = gatewayCidrs({ ...expected, ips: ipsOf(expected, key.ifname) });
  ensureGatewayAddresses(attachment, { link: gateway, cidrs }, config);
  for (const family of familiesOf(cidrs)) ensureForwarding(family);
  return { bridge, gateway };
}

function reportedLink({ interfaces }: Attached, { name }: Pick<Link, 'name'>): Interface | undefined {
  return interfaces.find((entry) => entry.name === name && !entry.sandbox);
}

function withMacOf(gateway: Link, expected: Attached): Attached | undefined {
  const reported = reportedLink(expected, gateway);
  if (reported?.mac === undefined || canonicalMac(reported.mac) === gateway.mac) return undefined;
  const interfaces = expected.interfaces.map((entry) => (entry === reported ? { ...entry, mac: gateway.mac } : entry));
  return { ...expected, interfaces };
}

function repairSandboxSide({ attachment, config, expected }: BridgeRepair, hostEnd: Link, gateway?: Link): void {
  const { key, sandbox } = attachment;
  if (config.disableContainerInterface) return;
  const ips = ipsOf(expected, key.ifname);
  withRtnetlink(sandbox.netns, (route) => {
    const link = findLink(route, key.ifname);
    if (!link) return;
    const present = listAddresses(route, link.index).map(({ cidr }) => cidr);
    for (const { address } of ips) {
      if (!present.includes(canonicalCidr(address))) addAddress(route, link.index, address, IFA_F_NODAD);
    }
    if (!link.isUp) setLink(route, link, { isUp: true });
    // More than the host end takes is lost on the way.
    const mtu = config.mtu ?? Math.min(link.mtu, hostEnd.mtu);
    if (link.mtu !== mtu) setLink(route, link, { mtu });
    for (const entry of kernelRoutes({ ...expected, ips }, link)) {
      try {
        addRoute(route, entry);
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error; // it was not this one that was missing
      }
    }
    if (gateway) forgetOtherMacs(route, link, { ips, mac: gateway.mac });
  });
}

/** Have the container ask for its gateways again where it knows them by another MAC: until then it does not reach them. */
function forgetOtherMacs(
  route: NetlinkConnection,
  link: Link,
  { ips, mac }: { ips: readonly Ip[]; mac: string },
): void {
  const gateways = new Set(ips.flatMap(({ gateway }) => gateway ?? []));
  for (const neighbour of listNeighbours(route, link.index)) {
    if (!gateways.has(neighbour.address) || neighbour.mac === undefined || neighbour.mac === mac) continue;
    deleteNeighbour(route, link.index, neighbour.address);
  }
}
