// Bridge mode: a veth pair between the container and a bridge of the host, addresses from IPAM, the bridge as gateway.

import { isErrno } from '../../kernel/errno.ts';
import { familyOf, firstHostOf, networkOf, splitCidr } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { BR_STATE_FORWARDING, portChange } from '../../kernel/rtnetlink/link/bridge-port.ts';
import { forwardDelayOf } from '../../kernel/rtnetlink/link/bridge.ts';
import {
  deleteLink,
  findLink,
  IFF_LOOPBACK,
  type Link,
  linkQuery,
  listLinks,
  readLink,
} from '../../kernel/rtnetlink/link/link.ts';
import { listRoutes, type Route as KernelRoute, RT_TABLE_MAIN } from '../../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { addVethPair } from '../../kernel/rtnetlink/link/veth.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import { FieldError } from '../../protocol/fields.ts';
import type { Interface, Route } from '../../protocol/result/result.ts';
import { checkBridgeAttachment } from './check.ts';
import { repairBridgeAttachment } from './repair.ts';
import { type BridgeConfig, parseBridgeConfig } from './config.ts';
import { BRIDGE_TABLE } from './keys.ts';
import { ensureBridge, ensureGatewayAddresses, findBridge, lockBridge, randomMac } from './bridge-link.ts';
import { setVlansOfNewPort, wantedVlansOf } from './vlan.ts';
import { ensureForwarding } from '../interface/forwarding.ts';
import { familiesOf, gatewayCidrs } from '../interface/gateway.ts';
import { hostInterfaceAlias, hostInterfaceName } from '../../attachment/marks.ts';
import { requireIpv6Support } from '../interface/ipv6-support.ts';
import type { Detachment, Mode, ModeRequest } from '../mode.ts';
import type { Addressing, Attached, Attachment, Host, HostWork } from '../../attachment/attachment.ts';
import { waitForPort } from './port-state.ts';
import { placeRoutes } from '../interface/route-placement.ts';
import {
  announceAddresses,
  configureSandboxInterface,
  defaultRouteOf,
  isReversePathStrict,
  trySysctl,
} from '../interface/sandbox-interface.ts';
import { ensureVlanGateway, findVlanGatewayName, vlanGatewayName } from './vlan-gateway.ts';

export const bridgeMode: Mode = {
  name: 'bridge',
  hasOwnInterface: true,
  hasBridge: true,
  sharesNamespace: false,
  keys: BRIDGE_TABLE,

  plan(request: ModeRequest) {
    const config = parseBridgeConfig(request);
    if (config.isGateway && config.vlan !== 0) vlanGatewayName(config);
    const { key } = request;
    return {
      objects: () => ({
        bridge: config.bridge,
        ...gatewayObject(config),
        hostInterface: hostInterfaceName(key),
      }),
      attach: (attachment, addressing) => attachToBridge(attachment, config, addressing),
      status: (host) => void findBridge(host.route, config.bridge),
      check: (attachment, expected) => checkBridgeAttachment(attachment, config, expected),
      repair: (attachment, expected) => repairBridgeAttachment(attachment, config, expected),
    };
  },

  // Deleting one end takes the other along.
  links: (key, objects) => [{ name: objects.hostInterface ?? hostInterfaceName(key), kind: 'veth' }],

  detach(host, detachment) {
    const { sandbox, hadLinks } = detachment;
    if (hadLinks || !sandbox) return;
    withRtnetlink(sandbox.netns, (route) => deleteByMarks(host, route, detachment));
  },
};

/**
 * Look from the sandbox when the host's end is not there under its name: somebody renamed it, or another plugin made
 * the attachment. Only if the host's end is marked as this attachment's, or prevResult names it: an interface of the
 * same name may be another network's, or another container's whose namespace this one shares.
 */
function deleteByMarks(host: Host, route: NetlinkConnection, { key, reported }: Detachment): void {
  const link = findLink(route, key.ifname);
  if (link?.kind !== 'veth' || link.peerIndex === undefined) return;
  const hostEnd = findLink(host.route, link.peerIndex);
  if (hostEnd?.kind !== 'veth' || hostEnd.peerIndex !== link.index) return;
  if (hostEnd.alias === hostInterfaceAlias(key) || reported.includes(hostEnd.name)) deleteLink(route, link.index);
}

function attachToBridge(attachment: Attachment, config: BridgeConfig, addressing: Addressing): Attached {
  const { key, host, sandbox } = attachment;
  requireIpv6Support(addressing, key);
  return withRtnetlink(sandbox.netns, (route) => {
    const links = listLinks(route);
    // The kernel would refuse it, too, but only when the host has been changed.
    if (links.some(({ name }) => name === key.ifname)) throw alreadyInSandbox(attachment);
    const complete = completeAddressing(addressing, config);
    const isFurther = links.some(({ flags }) => !(flags & IFF_LOOPBACK));
    complete.routes = placeRoutes(complete.routes, isFurther ? listRivals(route, complete.routes) : [], config);
    const { bridge, hostEnd, sandboxEnd, gateway } = connect(attachment, config, complete);
    host.mark('link');
    trySysctl(['ipv6', 'conf', hostEnd.name, 'accept_ra'], '0');
    if (!config.disableContainerInterface) {
      configureSandboxInterface({ sandbox, route }, sandboxEnd, complete, { ...config, isFurther });
      const state = waitForPort(host.route, hostEnd);
      if (state === BR_STATE_FORWARDING) announceAddresses(route, sandboxEnd);
      else host.warn(describePortDelay(bridge, hostEnd, key));
      if (isFurther && config.isPublishing && isReversePathStrict(bridge.name)) warnOfReversePath(host, key);
    }
    host.mark('sandbox');
    const onHost = gateway && gateway !== bridge ? [describeInterface(gateway)] : [];
    const own = { ...describeInterface(sandboxEnd), sandbox: sandbox.path };
    // In the reference's order: its addresses name the third.
    return { ...complete, interfaces: [describeInterface(bridge), describeInterface(hostEnd), own, ...onHost] };
  });
}

/** The container answers by its first network, with the address of this one: the host, filtering strictly, drops it. */
function warnOfReversePath(host: Host, { ifname, containerId }: AttachmentKey): void {
  host.warn(
    `The host drops what container "${containerId}" answers to the outside from "${ifname}", since its way out is another network, and the host filters reverse paths strictly: published ports do not answer there over IPv4 (net.ipv4.conf.all.rp_filter=2 is looser)`,
  );
}

/** The routes that the container has already, of the families of these. */
function listRivals(route: NetlinkConnection, routes: readonly Route[]): KernelRoute[] {
  return [...familiesOf(routes.map(({ dst }) => dst))].flatMap((family) => listRoutes(route, family));
}

/** The container's end, as it was made: veth's ends have one MTU to begin with, and each names the other's index. */
type SandboxEnd = Pick<Link, 'name' | 'index' | 'mac' | 'mtu'>;

/**
 * The host's interface in a VLAN, also where an operator makes it. A bridge whose name leaves no room for it has none there;
 * plan() has refused it for a network with a gateway.
 */
function gatewayObject(config: BridgeConfig): { readonly gateway?: string } {
  const gateway = config.vlan === 0 ? undefined : findVlanGatewayName(config);
  return gateway === undefined ? {} : { gateway };
}

/** The links of an attachment that is connected. */
interface Connection {
  readonly bridge: Link;
  /** Holds the gateway's addresses: the bridge, or the interface of its VLAN; undefined where nothing does. */
  readonly gateway: Link | undefined;
  readonly hostEnd: Link;
  readonly sandboxEnd: SandboxEnd;
}

/** Do everything that needs the bridge to stay: from finding or making it until the container's port is on it. */
function connect(attachment: Attachment, config: BridgeConfig, addressing: Addressing): Connection {
  const { key, host } = attachment;
  const name = hostInterfaceName(key);
  // Chosen here and not by the kernel, so that nobody has to ask for it.
  const mac = config.mac ?? randomMac();
  const lock = lockBridge(host, config.bridge, 'shared');
  try {
    const bridge = ensureBridge(attachment, config);
    // Before the pair, so that when both are taken back the port is gone before the addresses' turn comes.
    const gateway = config.isGateway ? setUpGateway(attachment, bridge, config, gatewayCidrs(addressing)) : undefined;
    addContainerPair(attachment, { ...config, mac }, bridge);
    const flags = { hairpin: config.hairpinMode, isolated: config.portIsolation };
    const query = linkQuery(name);
    const [, reply = []] = host.route.executeAll([portChange({ name }, flags, hostInterfaceAlias(key)), query]);
    const hostEnd = readLink(query, reply);
    if (hostEnd?.peerIndex === undefined) throw vanished(attachment);
    const vlans = wantedVlansOf(config);
    if (vlans) setVlansOfNewPort(host.route, bridge, hostEnd, vlans);
    return {
      // The address of a bridge that nobody has given one is that of a port, perhaps of the one just added.
      bridge: gateway === bridge ? bridge : (findLink(host.route, bridge.index) ?? bridge),
      gateway,
      hostEnd,
      sandboxEnd: { name: key.ifname, index: hostEnd.peerIndex, mac, mtu: hostEnd.mtu },
    };
  } finally {
    lock.release();
  }
}

/** Make the host the network's gateway. Returns the link that holds the addresses. */
function setUpGateway(work: HostWork, bridge: Link, config: BridgeConfig, cidrs: readonly string[]): Link {
  const link = config.vlan === 0 ? bridge : ensureVlanGateway(work, bridge, config);
  ensureGatewayAddresses(work, { link, cidrs }, config);
  for (const family of familiesOf(cidrs)) ensureForwarding(family);
  return link;
}

function addContainerPair(attachment: Attachment, config: BridgeConfig, bridge: Link): void {
  const { key, host, sandbox, undo } = attachment;
  const name = hostInterfaceName(key);
  const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
  const takeBack = (): void => undo.push(`delete veth "${name}"`, () => deleteLink(host.route, name));
  try {
    addVethPair(
      host.route,
      // A MAC of our own: udev's MACAddressPolicy leaves links alone whose address was chosen.
      { name, isUp: true, masterIndex: bridge.index, mac: randomMac(), ...mtu },
      { name: key.ifname, ...(config.mac !== undefined && { mac: config.mac }), ...mtu },
      sandbox.netns.fd,
    );
  } catch (error) {
    // One of the two names was there before, and stays.
    if (isErrno(error, 'EEXIST')) throw alreadyThere(attachment, name, error);
    // Nothing was made unless the answer got lost.
    if (isErrno(error, 'ETIMEDOUT', 'EBADMSG', 'ENOBUFS')) takeBack();
    throw error;
  }
  takeBack();
}

/** The smallest MTU IPv6 works with, in bytes (RFC 8200, section 5); below it the kernel takes IPv6 off the interface. */
const MIN_IPV6_MTU = 1280;

/** Fill in what the reference bridge adds to IPAM's answer: gateways, default routes, and which interface an address is on. */
function completeAddressing(addressing: Addressing, config: BridgeConfig): Addressing & { routes: Route[] } {
  const { mtu = MIN_IPV6_MTU } = config;
  if (mtu < MIN_IPV6_MTU && addressing.ips.some(({ address }) => familyOf(address) === 6)) {
    throw new FieldError('mtu', `must be at least ${MIN_IPV6_MTU} for an IPv6 address, is ${mtu}`);
  }
  const ips = addressing.ips.map((ip) => {
    const gateway = ip.gateway ?? (config.isGateway ? splitCidr(firstHostOf(ip.address)).address : undefined);
    return { ...ip, interface: 2, ...(gateway !== undefined && { gateway }) };
  });
  const routes: Route[] = [...addressing.routes];
  if (config.isDefaultGateway) {
    for (const { gateway } of ips) {
      if (gateway === undefined) continue;
      const dst = defaultRouteOf(familyOf(gateway));
      // One that IPAM gives already is enough. Without its own gateway it must be in the main table: in another it
      // serves only what a rule sends there, and the reference adds the main table's too.
      const isGiven = (route: Route): boolean =>
        networkOf(route.dst) === dst && (route.gw !== undefined || (route.table || RT_TABLE_MAIN) === RT_TABLE_MAIN);
      if (!routes.some(isGiven)) routes.push({ dst, gw: gateway });
    }
  }
  return { ips, routes, dns: addressing.dns };
}

/** `bridge`: as it was found before the port was added. */
function describePortDelay(bridge: Link, hostEnd: Link, key: AttachmentKey): string {
  const seconds = 2 * forwardDelayOf(bridge);
  return `Bridge "${bridge.name}" runs STP with a forward delay of ${seconds / 2} s: its port "${hostEnd.name}" does not forward yet, and container "${key.containerId}" reaches nobody by "${key.ifname}" for ${seconds} s (turn off stp_state, or lower forward_delay)`;
}

function describeInterface({ name, mac, mtu }: SandboxEnd): Interface {
  return { name, mac, mtu };
}

/** Tell which of the two names is taken, since the kernel does not. */
function alreadyThere(attachment: Attachment, name: string, cause: unknown): CniError {
  const { key, host } = attachment;
  if (!findLink(host.route, name)) return alreadyInSandbox(attachment, cause);
  return new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot attach container "${key.containerId}" to network "${key.network}" as "${key.ifname}": it is attached already, by "${name}" on the host (run DEL first)`,
    '',
    { cause },
  );
}

function alreadyInSandbox({ key, sandbox }: Attachment, cause?: unknown): CniError {
  return new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot attach container "${key.containerId}" to network "${key.network}": interface "${key.ifname}" already exists in ${sandbox.path}`,
    '',
    { cause },
  );
}

function vanished({ key, sandbox }: Attachment): CniError {
  return new CniError(
    ERR_KERNEL_REFUSED,
    `Interface "${key.ifname}" of container "${key.containerId}" vanished from ${sandbox.path} while it was being set up`,
  );
}
