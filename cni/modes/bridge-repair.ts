// Repair of bridge mode: makes what checkBridgeAttachment() misses, where it can be made again without the runtime. A
// veth pair that is gone is not among it: what runs in the container has bound to the interface it had.

import { canonicalCidr } from '../kernel/netlink/address-bytes.ts';
import { isErrno } from '../kernel/errno.ts';
import { addAddress, IFA_F_NODAD, listAddresses } from '../kernel/rtnetlink/address.ts';
import { isVlanFiltering, turnOnVlanFiltering } from '../kernel/rtnetlink/bridge.ts';
import { setBridgePort } from '../kernel/rtnetlink/bridge-port.ts';
import { findLink, type Link, setLink } from '../kernel/rtnetlink/link.ts';
import { addRoute } from '../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { canonicalMac } from '../protocol/mac.ts';
import { ipsOf } from '../protocol/result.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../protocol/errors.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { ensureBridge, ensureGatewayAddresses, findBridge, lockBridge } from './bridge-link.ts';
import { mendPortVlans, wantedVlansOf } from './bridge-vlan.ts';
import { familiesOf, gatewayCidrs } from './gateway.ts';
import { ensureForwarding } from './forwarding.ts';
import { hostInterfaceAlias, hostInterfaceName } from './host-interface-name.ts';
import type { Attached, Host, Sandbox, Undo } from './mode.ts';
import { kernelRoutes } from './sandbox-interface.ts';
import { ensureVlanGateway } from './vlan-gateway.ts';

/** What a repair has made is there to stay. */
const NO_UNDO: Undo = { push: () => undefined };

/** Make what is missing. Does nothing for an attachment whose veth pair is gone. Throws NetlinkError or CniError. */
export function repairBridgeAttachment(
  host: Host,
  sandbox: Sandbox,
  key: AttachmentKey,
  config: BridgeConfig,
  expected: Attached,
): void {
  const hostEnd = findLink(host.route, hostInterfaceName(key));
  if (!hostEnd) return;
  repairHostSide(host, key, config, hostEnd, expected);
  repairSandboxSide(sandbox, key, config, hostEnd, expected);
}

function repairHostSide(host: Host, key: AttachmentKey, config: BridgeConfig, hostEnd: Link, expected: Attached): void {
  const lock = lockBridge(host, config.bridge, 'shared');
  try {
    const vlans = wantedVlansOf(config);
    const present = findBridge(host.route, config.bridge);
    if (!present) refuseRenamed(host, config, hostEnd);
    if (vlans && present && !isVlanFiltering(present)) turnOnVlanFiltering(host.route, present);
    const bridge = ensureBridge(host, config, NO_UNDO);
    if (config.isGateway) {
      const link = config.vlan === 0 ? bridge : ensureVlanGateway(host, bridge, config, NO_UNDO);
      const reported = expected.interfaces.find(({ name, sandbox }) => name === link.name && !sandbox)?.mac;
      // Containers have learnt the gateway's MAC: a link that was made anew takes it up again.
      const mac = reported === undefined ? undefined : canonicalMac(reported);
      if (mac !== undefined && mac !== link.mac) setLink(host.route, link, { mac });
      const cidrs = gatewayCidrs({ ...expected, ips: ipsOf(expected, key.ifname) });
      const current = findLink(host.route, link.index) ?? link;
      ensureGatewayAddresses(host, { link: current, cidrs }, config, NO_UNDO);
      for (const family of familiesOf(cidrs)) ensureForwarding(family);
    }
    const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
    setLink(host.route, hostEnd, { masterIndex: bridge.index, isUp: true, ...mtu });
    const flags = { hairpin: config.hairpinMode, isolated: config.portIsolation };
    setBridgePort(host.route, hostEnd, flags, hostInterfaceAlias(key));
    if (vlans) mendPortVlans(host.route, hostEnd, vlans);
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

function repairSandboxSide(
  sandbox: Sandbox,
  key: AttachmentKey,
  config: BridgeConfig,
  hostEnd: Link,
  expected: Attached,
): void {
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
  });
}
