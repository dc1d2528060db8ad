// CHECK of bridge mode: compares what the result of ADD promised with what the kernel has. Only what matters to the
// attachment is judged: promiscuity (packet captures change it), extra routes and addresses are nobody's fault.

import type { AttachmentKey } from '../protocol/config.ts';
import { AF_INET, AF_INET6, familyOf, networkOf, splitCidr } from '../kernel/netlink/address-bytes.ts';
import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { listAddresses } from '../kernel/rtnetlink/address.ts';
import { bridgePortFlags } from '../kernel/rtnetlink/bridge-port.ts';
import { findLink, type Link } from '../kernel/rtnetlink/link.ts';
import { listRoutes, RT_TABLE_MAIN } from '../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import { findSysctl } from '../kernel/sysctl.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { hostInterfaceName } from './host-interface-name.ts';
import type { Attached, Host, Sandbox } from './mode.ts';

/** What is wrong with a bridge attachment, one sentence each. */
export function checkBridgeAttachment(
  host: Host,
  sandbox: Sandbox,
  key: AttachmentKey,
  config: BridgeConfig,
  expected: Attached,
): string[] {
  const bridge = findLink(host.route, config.bridge);
  const hostEnd = findLink(host.route, expectedHostInterface(key, expected));
  return withRtnetlink(sandbox.netns, (route) => [
    ...checkBridge(host, config, bridge, expected),
    ...checkPort(config, bridge, hostEnd, expectedHostInterface(key, expected)),
    ...checkSandboxEnd(route, sandbox, key, config, hostEnd, expected),
  ]);
}

/** The host end that ADD reported; attachments made by the reference bridge plugin have another name than ours. */
function expectedHostInterface(key: AttachmentKey, expected: Attached): string {
  const own = hostInterfaceName(key);
  const reported = expected.interfaces.filter(({ sandbox }) => !sandbox).map(({ name }) => name);
  if (reported.includes(own)) return own;
  return reported.find((name) => /^veth[0-9a-f]{8}$/.test(name)) ?? own;
}

function checkBridge(host: Host, config: BridgeConfig, bridge: Link | undefined, expected: Attached): string[] {
  if (!bridge) return [`bridge "${config.bridge}" is gone`];
  if (bridge.kind !== 'bridge') return [`"${config.bridge}" is no longer a bridge`];
  const problems: string[] = [];
  if (!bridge.isUp) problems.push(`bridge "${config.bridge}" is down`);
  if (!config.isGateway) return problems;
  const holder = config.vlan === 0 ? bridge : findLink(host.route, `${config.bridge}.${config.vlan}`);
  const present = holder ? listAddresses(host.route, holder.index).map(({ cidr }) => splitCidr(cidr).address) : [];
  for (const { gateway } of expected.ips) {
    if (gateway === undefined) continue;
    if (!present.includes(gateway))
      problems.push(`gateway address ${gateway} is gone from "${holder?.name ?? config.bridge}"`);
    const isForwarding =
      familyOf(gateway) === AF_INET
        ? findSysctl(['ipv4', 'ip_forward'])
        : findSysctl(['ipv6', 'conf', 'all', 'forwarding']);
    if (isForwarding !== '1') problems.push(`the host does not forward IPv${familyOf(gateway) === AF_INET ? 4 : 6}`);
  }
  return [...new Set(problems)];
}

function checkPort(config: BridgeConfig, bridge: Link | undefined, hostEnd: Link | undefined, name: string): string[] {
  if (!hostEnd) return [`host interface "${name}" is gone`];
  const problems: string[] = [];
  if (!hostEnd.isUp) problems.push(`host interface "${name}" is down`);
  const flags = bridgePortFlags(hostEnd);
  if (!bridge || hostEnd.masterIndex !== bridge.index || !flags) {
    problems.push(`host interface "${name}" is not a port of bridge "${config.bridge}"`);
    return problems;
  }
  for (const [key, isSet, isWanted] of [
    ['hairpinMode', flags.hairpin, config.hairpinMode],
    ['portIsolation', flags.isolated, config.portIsolation],
  ] as const) {
    if (isSet !== isWanted)
      problems.push(`bridge port "${name}" has ${key} ${isSet}, the configuration says ${isWanted}`);
  }
  return problems;
}

function checkSandboxEnd(
  route: NetlinkConnection,
  sandbox: Sandbox,
  key: AttachmentKey,
  config: BridgeConfig,
  hostEnd: Link | undefined,
  expected: Attached,
): string[] {
  const { ifname } = key;
  const link = findLink(route, ifname);
  if (!link) return [`interface "${ifname}" is gone from ${sandbox.path}`];
  if (link.kind !== 'veth') return [`interface "${ifname}" is not a veth any more`];
  const problems: string[] = [];
  if (hostEnd && link.peerIndex !== hostEnd.index)
    problems.push(`interface "${ifname}" is not the other end of "${hostEnd.name}"`);
  if (!config.disableContainerInterface && !link.isUp) problems.push(`interface "${ifname}" is down`);
  if (config.mtu !== undefined && link.mtu !== config.mtu) {
    problems.push(`interface "${ifname}" has MTU ${link.mtu}, the configuration says ${config.mtu}`);
  }
  const reported = expected.interfaces.find(({ name, sandbox: path }) => name === ifname && path);
  if (!reported) problems.push(`prevResult has no interface "${ifname}"`);
  else {
    if (reported.sandbox !== sandbox.path)
      problems.push(`prevResult has sandbox ${reported.sandbox}, CNI_NETNS is ${sandbox.path}`);
    if (reported.mac && reported.mac.toLowerCase() !== link.mac) {
      problems.push(`interface "${ifname}" has MAC ${link.mac}, prevResult says ${reported.mac}`);
    }
  }
  return [...problems, ...checkAddresses(route, link, key, expected), ...checkRoutes(route, expected)];
}

function checkAddresses(route: NetlinkConnection, link: Link, key: AttachmentKey, expected: Attached): string[] {
  const present = listAddresses(route, link.index).map(({ cidr }) => cidr);
  return expected.ips
    .filter((ip) => {
      const owner = ip.interface === undefined ? undefined : expected.interfaces[ip.interface];
      return owner === undefined || (owner.name === key.ifname && Boolean(owner.sandbox));
    })
    .filter(({ address }) => !present.includes(address))
    .map(({ address }) => `address ${address} is gone from interface "${key.ifname}"`);
}

function checkRoutes(route: NetlinkConnection, expected: Attached): string[] {
  const families = new Set(expected.routes.map(({ dst }) => familyOf(dst)));
  const present = [AF_INET, AF_INET6].flatMap((family) =>
    families.has(family as typeof AF_INET) ? listRoutes(route, family as typeof AF_INET) : [],
  );
  return expected.routes
    .filter(
      ({ dst, gw, table }) =>
        !present.some(
          (entry) =>
            entry.dst === networkOf(dst) &&
            entry.table === (table ?? RT_TABLE_MAIN) &&
            (gw === undefined || entry.gateway === undefined || entry.gateway === gw),
        ),
    )
    .map(({ dst, gw }) => `route ${dst}${gw === undefined ? '' : ` via ${gw}`} is gone`);
}
