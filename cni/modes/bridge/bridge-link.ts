// The bridge itself: made or adopted, given the gateway's addresses, and taken back when the ADD that made it fails.
//
// Other ADDs may start to use a bridge between the moment one makes it and the moment that one fails. So attaching
// holds the bridge's lock shared, from before the bridge is looked for until the port is on it, and taking back holds it
// exclusively and gives up when there is a port. ADDs do not wait for each other.

import { ensurePrivateDirectory } from '../../kernel/directory.ts';
import { isErrno } from '../../kernel/errno.ts';
import { type FileLock, lockFile } from '../../kernel/flock.ts';
import { decodeMac } from '../../kernel/netlink/address-bytes.ts';
import { familyOf, networkOf, overlaps } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import {
  addAddress,
  deleteAddress,
  IFA_F_NODAD,
  listAddresses,
  RT_SCOPE_LINK,
} from '../../kernel/rtnetlink/address.ts';
import { addBridge, defaultVlanOf, isVlanFiltering } from '../../kernel/rtnetlink/link/bridge.ts';
import { deleteLink, findLink, type Link, listLinks, setLink } from '../../kernel/rtnetlink/link/link.ts';
import { listPortVlans } from '../../kernel/rtnetlink/link/port-vlan.ts';
import { randomBytes } from '../../kernel/syscalls.ts';
import { ensureSysctl, findSysctl, sysctlName } from '../../kernel/sysctl.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import { FieldError } from '../../protocol/fields.ts';
import type { BridgeConfig } from './config.ts';
import { familiesOf } from '../interface/gateway.ts';
import type { Host, HostWork, Undo } from '../../attachment/attachment.ts';
import { examineConflicts } from '../interface/network-conflict.ts';
import { trySysctl } from '../interface/sandbox-interface.ts';

/** Attaching holds the lock for about 2 ms: whoever waits longer than this waits for a stopped process. */
const LOCK_TIMEOUT_MS = 10_000;

/** A random, locally administered unicast MAC address. */
export function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return decodeMac(bytes);
}

/** Keep others from taking the bridge away (shared), or from starting to use it (exclusive). */
export function lockBridge(host: Host, bridge: string, kind: 'shared' | 'exclusive'): FileLock {
  ensurePrivateDirectory(`${host.runDir}/locks`);
  return lockFile(`${host.runDir}/locks/bridge.${bridge}`, LOCK_TIMEOUT_MS, kind);
}

/**
 * Find the bridge, or make it, and see that it is up. A bridge that is there keeps its address, MTU and ports.
 *
 * Throws CniError 102 when another kind of link has the name.
 */
export function ensureBridge(work: HostWork, config: BridgeConfig): Link {
  const { host } = work;
  const needsVlans = config.vlan !== 0 || config.vlanTrunk.length > 0;
  const bridge = findBridge(host.route, config.bridge) ?? createBridge(work, config, needsVlans);
  if (needsVlans && !isVlanFiltering(bridge)) {
    throw new CniError(
      ERR_KERNEL_REFUSED,
      `Cannot use VLANs on bridge "${config.bridge}": it does not filter by VLAN (turn on its vlan_filtering, or let podlink make the bridge; both need a kernel with CONFIG_BRIDGE_VLAN_FILTERING)`,
    );
  }
  if (!bridge.isUp) setLink(host.route, bridge, { isUp: true });
  if (config.isGateway) refuseAdvertisements(host, bridge);
  // Only ever turned on: others may have asked for it too.
  if (config.promiscMode) setLink(host.route, bridge, { isPromiscuous: true });
  return bridge;
}

/**
 * Keep containers from telling the host its way out: a gateway takes router advertisements from nobody (CVE-2020-10749). An
 * operator's bridge to another network may live on them, and has a port that is no veth.
 */
function refuseAdvertisements(host: Host, bridge: Link): void {
  const key = ['ipv6', 'conf', bridge.name, 'accept_ra'];
  if ((findSysctl(key) ?? '0') === '0') return;
  if (listLinks(host.route).some(({ kind, masterIndex }) => masterIndex === bridge.index && kind !== 'veth')) return;
  trySysctl(key, '0');
}

/**
 * The bridge of that name; undefined when no link has the name.
 *
 * Throws CniError 102 when another kind of link has it, FieldError for an alternative name: rules and sysctls go by a
 * link's own name.
 */
export function findBridge(route: NetlinkConnection, name: string): Link | undefined {
  const link = findLink(route, name);
  if (link && link.name !== name) throw new FieldError('bridge', describeOtherName(link, name));
  if (link && link.kind !== 'bridge') {
    const what = link.kind === undefined ? 'another kind of interface' : `a ${link.kind}`;
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `Cannot use "${name}" as bridge: it already exists but is not a bridge, it is ${what}`,
    );
  }
  return link;
}

/** Say that a link is called otherwise; completes a sentence about the key. */
function describeOtherName({ name }: Link, alternative: string): string {
  return `must be the interface's own name, "${name}": "${alternative}" is an alternative name of it`;
}

function createBridge({ host, undo }: HostWork, config: BridgeConfig, needsVlans: boolean): Link {
  undo.push(`delete bridge "${config.bridge}"`, () => deleteUnusedBridge(host, config.bridge));
  try {
    addBridge(host.route, {
      name: config.bridge,
      isUp: true,
      // A MAC that was chosen stays. One that the kernel chose is that of the "lowest" port and changes with the ports
      // (br_stp_recalculate_bridge_id()), and with it what containers have learnt of their gateway.
      mac: randomMac(),
      ...(config.mtu !== undefined && { mtu: config.mtu }),
      ...(needsVlans && { vlanFiltering: true }),
    });
  } catch (error) {
    if (needsVlans && isErrno(error, 'EOPNOTSUPP')) {
      throw new CniError(
        ERR_KERNEL_REFUSED,
        `Cannot make bridge "${config.bridge}" for "vlan" or "vlanTrunk": this kernel has no bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)`,
        String(error),
      );
    }
    // EEXIST: another ADD was faster, and findBridge() says whether what it made is a bridge.
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  const bridge = findBridge(host.route, config.bridge);
  if (!bridge) throw new CniError(ERR_KERNEL_REFUSED, `Bridge "${config.bridge}" vanished while it was being made`);
  // A bridge takes its addresses from nobody: router advertisements of its ports' networks are not for the host.
  // There is no such key on a host without IPv6, nor with an MTU below IPv6's 1280.
  trySysctl(['ipv6', 'conf', config.bridge, 'accept_ra'], '0');
  // Its MAC is random, and so is the link-local address made from it: looking for others that have it would hold up the
  // first IPv6 packets that the host forwards to a container by up to 2 s.
  trySysctl(['ipv6', 'conf', config.bridge, 'accept_dad'], '0');
  return bridge;
}

function deleteUnusedBridge(host: Host, name: string): void {
  const lock = lockBridge(host, name, 'exclusive');
  try {
    const bridge = findLink(host.route, name);
    if (bridge?.kind === 'bridge' && !hasPorts(host.route, bridge)) deleteLink(host.route, bridge.index);
  } finally {
    lock.release();
  }
}

function hasPorts(route: NetlinkConnection, bridge: Link): boolean {
  return listLinks(route).some((link) => link.masterIndex === bridge.index);
}

/**
 * Take something of a network's gateway back, unless a container of another ADD uses it: one on the bridge and in the
 * same VLAN. Keeps others from attaching meanwhile.
 */
export function whileUnused(host: Host, { bridge: name, vlan }: BridgeConfig, step: () => void): void {
  const lock = lockBridge(host, name, 'exclusive');
  try {
    const bridge = findLink(host.route, name);
    if (!bridge || !hasContainers(host.route, bridge, vlan)) step();
  } finally {
    lock.release();
  }
}

/** A container's port is a veth whose other end is in another namespace; a VLAN's gateway has both ends on the host. */
function hasContainers(route: NetlinkConnection, bridge: Link, vlan: number): boolean {
  const ports = listLinks(route).filter(
    ({ kind, masterIndex, peerNetnsId }) =>
      kind === 'veth' && masterIndex === bridge.index && peerNetnsId !== undefined,
  );
  if (!isVlanFiltering(bridge)) return ports.length > 0;
  const id = vlan === 0 ? defaultVlanOf(bridge) : vlan;
  return ports.some((port) => vlansOf(route, port).includes(id));
}

/** The VLANs of a port; none when it has left the bridge since it was listed. */
function vlansOf(route: NetlinkConnection, port: Link): number[] {
  try {
    return listPortVlans(route, port).map(({ id }) => id);
  } catch (error) {
    if (isErrno(error, 'EINVAL', 'ENODEV')) return [];
    throw error;
  }
}

/** The gateway of a network on the host. */
export interface Gateway {
  /** Holds the addresses: the bridge, or the interface of a VLAN. */
  readonly link: Link;
  /** The addresses with the prefix length of their network. */
  readonly cidrs: readonly string[];
}

/**
 * Put the gateway's addresses on its link, as the reference bridge plugin does: one that is there with the same prefix is
 * fine; another IPv4 address, or an IPv6 address whose network overlaps, is an error, or is replaced with forceAddress.
 *
 * Throws CniError 102 on a conflict.
 */
export function ensureGatewayAddresses(work: HostWork, { link, cidrs }: Gateway, config: BridgeConfig): void {
  const { host, undo } = work;
  const [family, ...otherFamilies] = familiesOf(cidrs);
  // IPv6 addresses, the link-local one above all, are not asked for where none is needed: they take long to spell.
  const present = listAddresses(host.route, link.index, otherFamilies.length === 0 ? family : undefined)
    .filter(({ scope }) => scope < RT_SCOPE_LINK)
    .map(({ cidr }) => cidr);
  const missing = cidrs.filter((gateway) => !present.includes(gateway));
  const conflicts = missing.flatMap((gateway) => present.filter((cidr) => isConflict(gateway, cidr, cidrs)));
  const [conflict] = conflicts;
  if (conflict !== undefined && !config.forceAddress) {
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `"${link.name}" already has an IP address different from ${missing.join(', ')}: ${conflict} (remove it, or set "forceAddress": true to have it replaced)`,
    );
  }
  for (const cidr of new Set(conflicts)) {
    undo.push(`put address ${cidr} back on "${link.name}"`, () =>
      addAddress(host.route, link.index, cidr, IFA_F_NODAD),
    );
    deleteAddress(host.route, link.index, cidr);
  }
  for (const gateway of missing) {
    undo.push(`delete address ${gateway} of "${link.name}"`, () => {
      const takeBack = (): void => void deleteAddress(host.route, link.index, gateway);
      // One that has taken the place of another, which is put back, must not stay beside it.
      if (conflicts.length > 0) takeBack();
      else whileUnused(host, config, takeBack);
    });
    addGatewayAddress(work, link, gateway);
  }
  // When the address is there and not before: of two bridges that get it at once, one at least sees the other.
  if (missing.length > 0) examineConflicts(host, link, missing);
  // Containers know the address by this MAC: keep the kernel from choosing another when ports come and go. Every time,
  // since whoever put the address there need not have.
  setLink(host.route, link, { mac: link.mac });
}

function isConflict(gateway: string, present: string, gateways: readonly string[]): boolean {
  if (gateways.includes(present) || familyOf(gateway) !== familyOf(present)) return false;
  return familyOf(gateway) === 4 || overlaps(networkOf(gateway), networkOf(present));
}

function addGatewayAddress({ host, undo }: HostWork, link: Link, gateway: string): void {
  try {
    addAddress(host.route, link.index, gateway, IFA_F_NODAD);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return; // another ADD was faster
    if (!isErrno(error, 'EACCES') || familyOf(gateway) === 4) throw error;
    turnIpv6On(link, gateway, undo);
    addAddress(host.route, link.index, gateway, IFA_F_NODAD);
  }
}

/**
 * Turn IPv6 on for a link that has taken "off" over from the node's default for new links. Where somebody has turned it off
 * for this very link, that stands.
 *
 * Throws CniError 100, which names the sysctl.
 */
function turnIpv6On(link: Link, gateway: string, undo: Undo): void {
  const ofLink = ['ipv6', 'conf', link.name, 'disable_ipv6'];
  if (findSysctl(['ipv6', 'conf', 'default', 'disable_ipv6']) === '0') {
    throw new CniError(
      ERR_KERNEL_REFUSED,
      `Cannot add gateway address ${gateway} to "${link.name}": sysctl ${sysctlName(ofLink)} is 1, so it can have no IPv6 address (set it to 0, or leave the IPv6 range out of the network)`,
    );
  }
  undo.push(`turn IPv6 of "${link.name}" off again`, () => trySysctl(ofLink, '1'));
  ensureSysctl(ofLink, '0');
}
