// Faults that an ADD of an interface meets only when it has its addresses, although they can be seen in the configuration.

import { diagnose } from './configuration-diagnosis.ts';
import { statSync } from 'node:fs';
import { formatCidr, type IpAddress, isInSubnet, parseAddress, parseCidr } from '../../address/ip.ts';
import { findEdges } from '../../../ipam/range/range.ts';
import { parseRangeSets } from '../../../ipam/range/range-set.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { type IpamRoute, parseRoutes } from '../../../ipam/range/route.ts';
import type { NetworkConfig } from '../../protocol/config.ts';
import type { Fields } from '../../protocol/fields.ts';
import { error, type Fault, meant, warning } from './fault.ts';
import { IPAM_SECTIONS } from '../schema/key-schema.ts';

/** As cni/modes/bridge/bridge.ts has it. */
const MIN_IPV6_MTU = 1280;
/** include/uapi/linux/rtnetlink.h */
const RT_SCOPE_LINK = 253;
/** fe80::/10, which every interface is on. */
const LINK_LOCAL = parseCidr('fe80::/10');

const EDGE_CODES = {
  'network address': 'network-address-handed-out',
  'broadcast address': 'broadcast-address-handed-out',
  'subnet-router anycast address': 'anycast-address-handed-out',
} as const;

/** A network that the container gets an address of. */
interface Subnet {
  /** Of the key with the gateway. */
  readonly path: string;
  readonly subnet: IpAddress;
  readonly gateway: string | undefined;
}

export interface AddressingOptions {
  /** The section of the configuration. */
  readonly ipam: Fields;
  /** Undefined when it is not known where plugins are. */
  readonly pluginDirs: readonly string[] | undefined;
}

/** `config`: of a mode with an interface of its own, whose fields collect their faults and have told them. */
export function checkAddressing(config: NetworkConfig, { ipam, pluginDirs }: AddressingOptions): Fault[] {
  const subnets = attempt(() => subnetsOf(config, ipam)) ?? [];
  return [
    ...checkMtu(config, subnets),
    ...(attempt(() => checkGateways(config, ipam, subnets)) ?? []),
    ...(attempt(() => checkEdges(config, ipam)) ?? []),
    ...checkPlugin(ipam, pluginDirs),
  ];
}

/** Written ends that hand out an address which hosts use for something else. */
function checkEdges(config: NetworkConfig, ipam: Fields): Fault[] {
  const type = ipam.string('type') ?? '';
  if (type === 'static' || !findIpamDriver(type)) return [];
  const { runtimeConfig, cniVersion } = config;
  return parseRangeSets({ ipam, runtimeConfig, cniVersion }).flatMap(({ ranges }) =>
    ranges.flatMap((range) =>
      findEdges(range).map(({ address, key, kind }) => {
        const parts = { subject: `${range.path}.${key}`, of: formatCidr(range.subnet), found: address };
        return warning(diagnose(EDGE_CODES[kind], parts));
      }),
    ),
  );
}

function subnetsOf(config: NetworkConfig, ipam: Fields): Subnet[] {
  const type = ipam.string('type') ?? '';
  if (!findIpamDriver(type)) return [];
  if (type === 'static') {
    return (ipam.objects('addresses') ?? []).flatMap((entry) => {
      const subnet = parseCidr(entry.string('address') ?? '');
      return subnet ? [{ path: entry.at('gateway'), subnet, gateway: entry.string('gateway') || undefined }] : [];
    });
  }
  const { runtimeConfig, cniVersion } = config;
  return parseRangeSets({ ipam, runtimeConfig, cniVersion }).flatMap(({ ranges }) =>
    ranges.map(({ path, subnet, gateway }) => ({ path: `${path}.gateway`, subnet, gateway })),
  );
}

function checkMtu({ fields, argsCni }: NetworkConfig, subnets: readonly Subnet[]): Fault[] {
  const mtu = Number(argsCni.get('mtu') || fields.get('mtu') || MIN_IPV6_MTU);
  if (!(mtu < MIN_IPV6_MTU) || subnets.every(({ subnet }) => subnet.family === 4)) return [];
  return [error(diagnose('mtu-too-small', { expected: MIN_IPV6_MTU, found: mtu }))];
}

function checkGateways({ fields }: NetworkConfig, ipam: Fields, subnets: readonly Subnet[]): Fault[] {
  const routes = parseRoutes(ipam);
  const isDefault = fields.boolean('isDefaultGateway') === true;
  return subnets.flatMap(({ path, subnet, gateway }) => {
    const address = gateway === undefined ? undefined : parseAddress(gateway);
    if (!address || isReachable(address, subnets, routes)) return [];
    if (!isDefault && !routes.some((route) => goesBy(route, gateway, address))) return [];
    const parts = { subject: path, of: formatCidr(subnet), found: gateway ?? '' };
    return [warning(diagnose('gateway-out-of-reach', parts))];
  });
}

function isReachable(gateway: IpAddress, subnets: readonly Subnet[], routes: readonly IpamRoute[]): boolean {
  const onLink = routes.filter(({ scope }) => scope === RT_SCOPE_LINK).map(({ dst }) => parseCidr(dst));
  return [LINK_LOCAL, ...subnets.map(({ subnet }) => subnet), ...onLink].some(
    (network) => network?.family === gateway.family && isInSubnet(gateway, network),
  );
}

/** Whether a route goes by this gateway: by name, or because it has none of its own. */
function goesBy({ dst, gw, scope }: IpamRoute, gateway: string | undefined, { family }: IpAddress): boolean {
  if (gw !== undefined) return gw === gateway;
  return (scope ?? 0) === 0 && parseCidr(dst)?.family === family;
}

/** Of a type that is not built in there must be a plugin. */
function checkPlugin(ipam: Fields, pluginDirs: readonly string[] | undefined): Fault[] {
  const type = ipam.get('type');
  if (typeof type !== 'string' || type === '' || findIpamDriver(type)) return [];
  const isThere = (dir: string) => statSync(`${dir}/${type}`, { throwIfNoEntry: false })?.isFile() ?? false;
  if (pluginDirs?.some((dir) => attempt(() => isThere(dir)))) return [];
  const parts = { subject: type, ...meant(type, IPAM_SECTIONS.keys()) };
  if (!pluginDirs) return [warning(diagnose('ipam-plugin-unseen', parts))];
  return [warning(diagnose('ipam-plugin-missing', { ...parts, of: pluginDirs }))];
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined; // the parsers of ADD have been asked before, and this is told
  }
}
