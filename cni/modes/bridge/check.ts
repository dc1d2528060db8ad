// CHECK of bridge mode: compares what the result of ADD promised with what the kernel has. Only what matters to the
// attachment is judged: promiscuity (packet captures change it), extra routes and addresses are nobody's fault.

import { canonicalCidr, familyOf, splitCidr } from '../../address/ip.ts';
import { type AttachmentDiagnosis, diagnose, withoutConsequences } from '../../diagnosis/attachment-diagnosis.ts';
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

/** Find what is wrong with a bridge attachment. */
export function checkBridgeAttachment(
  attachment: Attachment,
  config: BridgeConfig,
  expected: Expected,
): AttachmentDiagnosis[] {
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

function checkBridge(examined: Examined): AttachmentDiagnosis[] {
  const { config, bridge, expected } = examined;
  if (!bridge) return [diagnose('bridge-gone', { subject: config.bridge })];
  if (bridge.name !== config.bridge)
    return [diagnose('bridge-name-is-alternative', { subject: config.bridge, expected: bridge.name })];
  if (bridge.kind !== 'bridge') return [diagnose('bridge-is-no-bridge', { subject: config.bridge })];
  const problems: AttachmentDiagnosis[] = [];
  if (!bridge.isUp) problems.push(diagnose('bridge-down', { subject: bridge.name }));
  const reported = reportedMac(expected, bridge.name);
  // Only a gateway's stays the same whatever ports come and go.
  if (config.isGateway && config.vlan === 0 && reported && canonicalMac(reported) !== bridge.mac) {
    problems.push(diagnose('bridge-mac-differs', { subject: bridge.name, expected: reported, found: bridge.mac }));
  }
  if (wantedVlansOf(config) && !isVlanFiltering(bridge)) {
    problems.push(diagnose('bridge-not-filtering', { subject: bridge.name }));
  }
  return config.isGateway ? [...problems, ...checkGateway(examined, bridge)] : problems;
}

function checkGateway({ attachment, config, expected }: Examined, bridge: Link): AttachmentDiagnosis[] {
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
      ...(present.includes(gateway) ? [] : [diagnose('gateway-address-gone', { subject: name, object: gateway })]),
      ...(forwarding === '1' ? [] : [diagnose('forwarding-off', { subject: isIpv4 ? 'IPv4' : 'IPv6' })]),
    ];
  });
  return [...ofVlan, ...withoutConsequences(problems)];
}

/** The address that ADD reported of an interface on the host. */
function reportedMac({ interfaces }: Attached, link: string): string | undefined {
  return interfaces.find(({ name, sandbox }) => name === link && !sandbox)?.mac;
}

function checkPort({ attachment: { key, host }, config, expected, bridge, hostEnd }: Examined): AttachmentDiagnosis[] {
  if (!hostEnd) return [diagnose('host-end-gone', { subject: expectedHostInterface(key, expected) })];
  const { name } = hostEnd;
  const problems: AttachmentDiagnosis[] = [];
  if (config.mtu !== undefined && hostEnd.mtu !== config.mtu) {
    problems.push(diagnose('host-end-mtu-differs', { subject: name, expected: config.mtu, found: hostEnd.mtu }));
  }
  if (!hostEnd.isUp) problems.push(diagnose('host-end-down', { subject: name }));
  const flags = bridgePortFlags(hostEnd);
  if (!bridge || hostEnd.masterIndex !== bridge.index || !flags) {
    problems.push(diagnose('host-end-not-on-bridge', { subject: name, object: config.bridge }));
    return problems;
  }
  // With the container's end left down the port has no carrier, which the bridge answers by disabling it.
  const mustForward = !config.disableContainerInterface && !hasSpanningTree(bridge);
  if (mustForward && bridgePortState(hostEnd) !== BR_STATE_FORWARDING) {
    problems.push(diagnose('port-not-forwarding', { subject: name }));
  }
  for (const [setting, isSet, isWanted] of [
    ['hairpinMode', flags.hairpin, config.hairpinMode],
    ['portIsolation', flags.isolated, config.portIsolation],
  ] as const) {
    if (isSet === isWanted) continue;
    problems.push(
      diagnose('port-setting-differs', { subject: name, object: setting, expected: isWanted, found: isSet }),
    );
  }
  const vlans = wantedVlansOf(config);
  if (!vlans) return problems;
  return [...problems, ...checkPortVlans(host.route, { bridge, port: hostEnd }, vlans)];
}

function checkSandboxEnd(
  route: NetlinkConnection,
  { attachment, config, expected, hostEnd }: Examined,
): AttachmentDiagnosis[] {
  const { key, sandbox } = attachment;
  const { ifname } = key;
  const link = findLink(route, ifname);
  if (!link) return [diagnose('interface-gone', { subject: ifname, of: sandbox.path })];
  if (link.kind !== 'veth') return [diagnose('interface-not-veth', { subject: ifname })];
  const problems: AttachmentDiagnosis[] = [];
  if (hostEnd && link.peerIndex !== hostEnd.index)
    problems.push(diagnose('interface-other-end-differs', { subject: ifname, expected: hostEnd.name }));
  if (!config.disableContainerInterface && !link.isUp) problems.push(diagnose('interface-down', { subject: ifname }));
  const reported = expected.interfaces.find(({ name, sandbox: path }) => name === ifname && path);
  // A chained plugin may have set another, which the result may say.
  if (config.mtu !== undefined && link.mtu !== config.mtu && link.mtu !== reported?.mtu) {
    problems.push(diagnose('interface-mtu-differs', { subject: ifname, expected: config.mtu, found: link.mtu }));
  } else if (hostEnd && link.mtu > hostEnd.mtu) {
    // More than the host end takes is lost on the way.
    const ends = { subject: ifname, object: hostEnd.name };
    problems.push(diagnose('interface-mtu-too-large', { ...ends, expected: hostEnd.mtu, found: link.mtu }));
  }
  if (!reported) {
    if (!expected.unsaid?.interfaces) problems.push(diagnose('interface-unreported', { subject: ifname }));
  } else {
    if (reported.sandbox !== sandbox.path)
      problems.push(
        diagnose('sandbox-differs', { subject: ifname, expected: sandbox.path, found: reported.sandbox ?? '' }),
      );
    if (reported.mac && canonicalMac(reported.mac) !== link.mac) {
      problems.push(diagnose('interface-mac-differs', { subject: ifname, expected: reported.mac, found: link.mac }));
    }
  }
  return [...problems, ...checkAddresses(route, link, key, expected), ...checkRoutes(route, link, key, expected)];
}

function checkAddresses(
  route: NetlinkConnection,
  link: Link,
  key: AttachmentKey,
  expected: Attached,
): AttachmentDiagnosis[] {
  const present = listAddresses(route, link.index).map(({ cidr }) => cidr);
  const isThere = ({ address, interface: index }: Ip) =>
    present.includes(canonicalCidr(address)) || (index === undefined && isOnAnotherLink(route, address));
  return ipsOf(expected, key.ifname)
    .filter((ip) => !isThere(ip))
    .map(({ address }) => diagnose('address-gone', { subject: key.ifname, object: address }));
}

/** An address of which nothing tells whose it is may be that of another network's interface. */
function isOnAnotherLink(route: NetlinkConnection, address: string): boolean {
  return listLinks(route).some(({ index }) =>
    listAddresses(route, index).some(({ cidr }) => cidr === canonicalCidr(address)),
  );
}

/** The routes as ADD added them. Of a pod with several interfaces any of them may have become the way. */
function checkRoutes(
  route: NetlinkConnection,
  link: Link,
  key: AttachmentKey,
  expected: Expected,
): AttachmentDiagnosis[] {
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
  return wanted
    .filter((entry) => !isThere(entry))
    .map((entry) => diagnose('route-gone', { subject: key.ifname, object: describeRoute(entry) }));
}
