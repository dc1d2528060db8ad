// CHECK of bridge mode: compares what the result of ADD promised with what the kernel has. Only what matters to the
// attachment is judged: promiscuity (packet captures change it), extra routes and addresses are nobody's fault.

import { canonicalCidr, familyOf, splitCidr } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { listAddresses } from '../../kernel/rtnetlink/address.ts';
import { BR_STATE_FORWARDING, bridgePortFlags, bridgePortState } from '../../kernel/rtnetlink/link/bridge-port.ts';
import { hasSpanningTree, isVlanFiltering } from '../../kernel/rtnetlink/link/bridge.ts';
import { findLink, type Link, listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { describeRoute, listRoutes, type Route, RT_TABLE_MAIN } from '../../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { findSysctl } from '../../kernel/sysctl.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { canonicalMac } from '../../protocol/mac.ts';
import { type Ip, ipsOf } from '../../protocol/result/result.ts';
import type { BridgeConfig } from './config.ts';
import { describeOtherName } from './bridge-link.ts';
import { checkPortVlans, wantedVlansOf } from './vlan.ts';
import { hostInterfaceName } from '../../attachment/marks.ts';
import type { Attached, Attachment, Expected } from '../../attachment/attachment.ts';
import { metricOf } from '../interface/route-placement.ts';
import { kernelRoutes } from '../interface/sandbox-interface.ts';
import { checkVlanGateway, vlanGatewayName } from './vlan-gateway.ts';

/** A bridge attachment that is looked at: as it must be, and the links of the host as they are. */
interface Examined {
  readonly attachment: Attachment;
  readonly config: BridgeConfig;
  readonly expected: Expected;
  readonly bridge: Link | undefined;
  readonly hostEnd: Link | undefined;
}

/** Say what is wrong with a bridge attachment, one sentence each. */
export function checkBridgeAttachment(attachment: Attachment, config: BridgeConfig, expected: Expected): string[] {
  const { key, host, sandbox } = attachment;
  const examined: Examined = {
    attachment,
    config,
    expected,
    bridge: findLink(host.route, config.bridge),
    hostEnd: findLink(host.route, expectedHostInterface(key, expected)),
  };
  return withRtnetlink(sandbox.netns, (route) => [
    ...checkBridge(examined),
    ...checkPort(examined),
    ...checkSandboxEnd(route, examined),
  ]);
}

/** The host end that ADD reported; attachments made by the reference bridge plugin have another name than ours. */
function expectedHostInterface(key: AttachmentKey, expected: Attached): string {
  const own = hostInterfaceName(key);
  const reported = expected.interfaces.filter(({ sandbox }) => !sandbox).map(({ name }) => name);
  if (reported.includes(own)) return own;
  return reported.find((name) => /^veth[0-9a-f]{8}$/.test(name)) ?? own;
}

function checkBridge(examined: Examined): string[] {
  const { config, bridge, expected } = examined;
  if (!bridge) return [`bridge "${config.bridge}" is gone`];
  if (bridge.name !== config.bridge) return [`"bridge" ${describeOtherName(bridge, config.bridge)}`];
  if (bridge.kind !== 'bridge') return [`"${config.bridge}" is no longer a bridge`];
  const problems: string[] = [];
  if (!bridge.isUp) problems.push(`bridge "${config.bridge}" is down`);
  const reported = reportedMac(expected, bridge.name);
  // Only a gateway's stays the same whatever ports come and go.
  if (config.isGateway && config.vlan === 0 && reported && canonicalMac(reported) !== bridge.mac) {
    problems.push(`bridge "${bridge.name}" has MAC ${bridge.mac}, prevResult says ${reported}`);
  }
  if (wantedVlansOf(config) && !isVlanFiltering(bridge)) {
    problems.push(`bridge "${bridge.name}" does not filter by VLAN: its containers see each other's VLANs, or nothing`);
  }
  return config.isGateway ? [...problems, ...checkGateway(examined, bridge)] : problems;
}

function checkGateway({ attachment, config, expected }: Examined, bridge: Link): string[] {
  const { key, host } = attachment;
  const name = config.vlan === 0 ? bridge.name : vlanGatewayName(config);
  const holder = config.vlan === 0 ? bridge : findLink(host.route, name);
  const ofVlan = config.vlan === 0 ? [] : checkVlanGateway(host.route, bridge, config, reportedMac(expected, name));
  const present = holder ? listAddresses(host.route, holder.index).map(({ cidr }) => splitCidr(cidr).address) : [];
  const problems = ipsOf(expected, key.ifname).flatMap(({ gateway }) => {
    if (gateway === undefined) return [];
    const isIpv4 = familyOf(gateway) === 4;
    const forwarding = findSysctl(isIpv4 ? ['ipv4', 'ip_forward'] : ['ipv6', 'conf', 'all', 'forwarding']);
    return [
      ...(present.includes(gateway) ? [] : [`gateway address ${gateway} is gone from "${name}"`]),
      ...(forwarding === '1' ? [] : [`the host does not forward IPv${isIpv4 ? 4 : 6}`]),
    ];
  });
  return [...ofVlan, ...new Set(problems)];
}

/** The address that ADD reported of an interface on the host. */
function reportedMac({ interfaces }: Attached, link: string): string | undefined {
  return interfaces.find(({ name, sandbox }) => name === link && !sandbox)?.mac;
}

function checkPort({ attachment: { key, host }, config, expected, bridge, hostEnd }: Examined): string[] {
  if (!hostEnd) return [`host interface "${expectedHostInterface(key, expected)}" is gone`];
  const { name } = hostEnd;
  const problems: string[] = [];
  if (config.mtu !== undefined && hostEnd.mtu !== config.mtu) {
    problems.push(`host interface "${name}" has MTU ${hostEnd.mtu}, the configuration says ${config.mtu}`);
  }
  if (!hostEnd.isUp) problems.push(`host interface "${name}" is down`);
  const flags = bridgePortFlags(hostEnd);
  if (!bridge || hostEnd.masterIndex !== bridge.index || !flags) {
    problems.push(`host interface "${name}" is not a port of bridge "${config.bridge}"`);
    return problems;
  }
  // With the container's end left down the port has no carrier, which the bridge answers by disabling it.
  const mustForward = !config.disableContainerInterface && !hasSpanningTree(bridge);
  if (mustForward && bridgePortState(hostEnd) !== BR_STATE_FORWARDING) {
    problems.push(`bridge port "${name}" does not forward`);
  }
  for (const [setting, isSet, isWanted] of [
    ['hairpinMode', flags.hairpin, config.hairpinMode],
    ['portIsolation', flags.isolated, config.portIsolation],
  ] as const) {
    if (isSet !== isWanted)
      problems.push(`bridge port "${name}" has ${setting} ${isSet}, the configuration says ${isWanted}`);
  }
  const vlans = wantedVlansOf(config);
  if (!vlans) return problems;
  const subject = `host interface "${name}"`;
  return [...problems, ...checkPortVlans(host.route, { bridge, port: hostEnd, subject }, vlans)];
}

function checkSandboxEnd(route: NetlinkConnection, { attachment, config, expected, hostEnd }: Examined): string[] {
  const { key, sandbox } = attachment;
  const { ifname } = key;
  const link = findLink(route, ifname);
  if (!link) return [`interface "${ifname}" is gone from ${sandbox.path}`];
  if (link.kind !== 'veth') return [`interface "${ifname}" is not a veth any more`];
  const problems: string[] = [];
  if (hostEnd && link.peerIndex !== hostEnd.index)
    problems.push(`interface "${ifname}" is not the other end of "${hostEnd.name}"`);
  if (!config.disableContainerInterface && !link.isUp) problems.push(`interface "${ifname}" is down`);
  const reported = expected.interfaces.find(({ name, sandbox: path }) => name === ifname && path);
  // A chained plugin may have set another, which the result may say.
  if (config.mtu !== undefined && link.mtu !== config.mtu && link.mtu !== reported?.mtu) {
    problems.push(`interface "${ifname}" has MTU ${link.mtu}, the configuration says ${config.mtu}`);
  } else if (hostEnd && link.mtu > hostEnd.mtu) {
    // More than the host end takes is lost on the way.
    problems.push(`interface "${ifname}" has MTU ${link.mtu}, its other end "${hostEnd.name}" only ${hostEnd.mtu}`);
  }
  if (!reported) {
    if (!expected.unsaid?.interfaces) problems.push(`prevResult has no interface "${ifname}"`);
  } else {
    if (reported.sandbox !== sandbox.path)
      problems.push(`prevResult has sandbox ${reported.sandbox}, CNI_NETNS is ${sandbox.path}`);
    if (reported.mac && canonicalMac(reported.mac) !== link.mac) {
      problems.push(`interface "${ifname}" has MAC ${link.mac}, prevResult says ${reported.mac}`);
    }
  }
  return [...problems, ...checkAddresses(route, link, key, expected), ...checkRoutes(route, link, key, expected)];
}

function checkAddresses(route: NetlinkConnection, link: Link, key: AttachmentKey, expected: Attached): string[] {
  const present = listAddresses(route, link.index).map(({ cidr }) => cidr);
  const isThere = ({ address, interface: index }: Ip) =>
    present.includes(canonicalCidr(address)) || (index === undefined && isOnAnotherLink(route, address));
  return ipsOf(expected, key.ifname)
    .filter((ip) => !isThere(ip))
    .map(({ address }) => `address ${address} is gone from interface "${key.ifname}"`);
}

/** An address of which nothing tells whose it is may be that of another network's interface. */
function isOnAnotherLink(route: NetlinkConnection, address: string): boolean {
  return listLinks(route).some(({ index }) =>
    listAddresses(route, index).some(({ cidr }) => cidr === canonicalCidr(address)),
  );
}

/** The routes as ADD added them. Of a pod with several interfaces any of them may have become the way. */
function checkRoutes(route: NetlinkConnection, link: Link, key: AttachmentKey, expected: Expected): string[] {
  const isOnlyInterface = expected.interfaces.filter(({ sandbox }) => sandbox).length <= 1;
  // Table, scope and metric are not known: a route that ends on the link has no gateway, whatever is assumed otherwise.
  const isPartlyTold = expected.unsaid?.routeAttributes ?? false;
  const wanted = kernelRoutes({ ...expected, ips: ipsOf(expected, key.ifname) }, link);
  const families = new Set(wanted.map(({ dst }) => familyOf(dst)));
  const present = [...families].flatMap((family) => listRoutes(route, family));
  const isThere = (entry: Route) =>
    present.some(
      ({ dst, table, gateway, linkIndex, priority = 0 }) =>
        dst === entry.dst &&
        (isPartlyTold || (table === (entry.table || RT_TABLE_MAIN) && priority === metricOf(entry))) &&
        // Several gateways make a multipath route, which shows neither.
        ((gateway === undefined && linkIndex === undefined) ||
          ((gateway === entry.gateway || (isPartlyTold && gateway === undefined)) &&
            (!isOnlyInterface || linkIndex === link.index))),
    );
  return wanted.filter((entry) => !isThere(entry)).map((entry) => `${describeRoute(entry)} is gone`);
}
