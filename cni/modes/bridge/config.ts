// The configuration of bridge mode: keys, defaults and meaning of the reference bridge plugin, so that its configs work
// unchanged, and Docker's bridge options.

import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from '../../protocol/errors.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { readMac } from '../../protocol/mac.ts';
import { isInterfaceName, newInterfaceNameFault } from '../../protocol/name.ts';
import type { ModeRequest } from '../mode.ts';
import { publishesPorts } from '../shared/sharing.ts';

/** Ethernet's smallest and the kernel's largest MTU, in bytes (include/uapi/linux/if_ether.h: ETH_MIN_MTU, ETH_MAX_MTU). */
const MIN_MTU = 68;
const MAX_MTU = 65535;
const MAX_VLAN_ID = 4094;

export interface BridgeConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly hairpinMode: boolean;
  readonly promiscMode: boolean;
  readonly portIsolation: boolean;
  /** No way out of the bridge, for which cni/features/isolation/isolation.ts sees: its default route is for want of another. */
  readonly isInternal: boolean;
  /** Look for duplicates of the container's IPv6 addresses, and wait for the answer. */
  readonly enabledad: boolean;
  /** Ports are published, by cni/features/portmap/portmap.ts: outsiders connect to the container. */
  readonly isPublishing: boolean;
  readonly disableContainerInterface: boolean;
  /** Bytes; undefined leaves the kernel's default. */
  readonly mtu: number | undefined;
  /** Of the container's interface; undefined lets the kernel choose. */
  readonly mac: string | undefined;
  /** 0 means none. */
  readonly vlan: number;
  /** Sorted, each once. */
  readonly vlanTrunk: readonly number[];
  readonly preserveDefaultVlan: boolean;
}

/** Read and check the configuration of bridge mode. Throws FieldError or CniError 4. */
export function parseBridgeConfig(request: ModeRequest): BridgeConfig {
  const { fields } = request.config;
  const isDefaultGateway = fields.boolean('isDefaultGateway') ?? false;
  const config: BridgeConfig = {
    bridge: parseBridgeName(fields),
    isGateway: (fields.boolean('isGateway') ?? false) || isDefaultGateway,
    isDefaultGateway,
    forceAddress: fields.boolean('forceAddress') ?? false,
    hairpinMode: fields.boolean('hairpinMode') ?? false,
    promiscMode: fields.boolean('promiscMode') ?? false,
    // Docker's `icc`: the way through the bridge is closed here, the one through the host by cni/features/isolation/isolation.ts.
    portIsolation: (fields.boolean('portIsolation') ?? false) || fields.boolean('icc') === false,
    isInternal: fields.boolean('internal') ?? false,
    isPublishing: publishesPorts(request),
    enabledad: fields.boolean('enabledad') ?? false,
    disableContainerInterface: fields.boolean('disableContainerInterface') ?? false,
    mtu: parseMtu(request.config.argsCni) ?? parseMtu(fields),
    mac: parseMac(request),
    vlan: fields.integer('vlan', 0, MAX_VLAN_ID) ?? 0,
    vlanTrunk: parseVlanTrunk(fields),
    preserveDefaultVlan: fields.boolean('preserveDefaultVlan') ?? false,
  };
  if (config.hairpinMode && config.promiscMode) {
    throw new FieldError('promiscMode', 'cannot be true together with "hairpinMode"');
  }
  if (config.disableContainerInterface && request.hasIpam) {
    throw new FieldError(
      'disableContainerInterface',
      'cannot be true together with "ipam": the addresses need the interface',
    );
  }
  validateIfname(request.key.ifname);
  return config;
}

/** The container's interface is made here, beside its `lo`. */
function validateIfname(ifname: string): void {
  const fault = ifname.includes('%')
    ? `"${ifname}" contains "%", which the kernel takes for a pattern`
    : ifname === 'lo' && '"lo" is the loopback interface, which every network namespace has';
  if (fault) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_IFNAME: ${fault}`);
}

function parseBridgeName(fields: Fields): string {
  const name = fields.string('bridge') ?? 'cni0';
  // The kernel takes "%" for a pattern to number names by (dev_alloc_name()).
  if (!isInterfaceName(name) || name.includes('%')) {
    throw new FieldError(
      fields.at('bridge'),
      `must be an interface name of 1 to 15 bytes without "/", ":", "%" or spaces, is ${describeValue(name)}`,
    );
  }
  const fault = name === 'lo' ? '"lo" is the loopback interface' : newInterfaceNameFault(name);
  if (fault !== undefined) throw new FieldError(fields.at('bridge'), `must be a name that a bridge can have: ${fault}`);
  return name;
}

/** 0 is the reference's spelling of "the kernel's default". */
function parseMtu(fields: Fields): number | undefined {
  const mtu = fields.integer('mtu', 0, MAX_MTU) ?? 0;
  if (mtu !== 0 && mtu < MIN_MTU) throw new FieldError(fields.at('mtu'), `must be 0 or at least ${MIN_MTU}, is ${mtu}`);
  return mtu === 0 ? undefined : mtu;
}

/** The capability wins over `args`, which wins over CNI_ARGS (CNI CONVENTIONS.md), and all of them over the configuration. */
function parseMac(request: ModeRequest): string | undefined {
  const { runtimeConfig, argsCni, fields } = request.config;
  const asked = parseMacField(runtimeConfig) ?? parseMacField(argsCni);
  if (asked !== undefined) return asked;
  const mac = request.cniArgs.get('MAC');
  if (!mac) return parseMacField(fields);
  const read = readMac(mac);
  if ('mac' in read) return read.mac;
  throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid MAC in CNI_ARGS: ${read.fault}`);
}

function parseMacField(fields: Fields): string | undefined {
  const mac = fields.string('mac');
  if (!mac) return undefined;
  const read = readMac(mac);
  if ('mac' in read) return read.mac;
  throw new FieldError(fields.at('mac'), read.fault);
}

function parseVlanTrunk(fields: Fields): number[] {
  const ids = new Set<number>();
  for (const entry of fields.objects('vlanTrunk') ?? []) {
    const id = entry.integer('id', 1, MAX_VLAN_ID);
    const minId = entry.integer('minID', 1, MAX_VLAN_ID);
    const maxId = entry.integer('maxID', 1, MAX_VLAN_ID);
    if (minId === undefined && maxId !== undefined)
      throw new FieldError(entry.at('minID'), 'must be given together with "maxID"');
    if (maxId === undefined && minId !== undefined)
      throw new FieldError(entry.at('maxID'), 'must be given together with "minID"');
    if (minId !== undefined && maxId !== undefined) {
      if (minId > maxId)
        throw new FieldError(entry.at('minID'), `must not be greater than "maxID" ${maxId}, is ${minId}`);
      for (let vlan = minId; vlan <= maxId; vlan++) ids.add(vlan);
    }
    if (id !== undefined) ids.add(id);
    if (id === undefined && minId === undefined)
      throw new FieldError(entry.path, 'must hold "id", or "minID" and "maxID"');
  }
  return [...ids].sort((a, b) => a - b);
}
