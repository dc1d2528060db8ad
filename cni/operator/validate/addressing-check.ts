// What an ADD in bridge mode trips over only when it has its addresses, although it can be seen in the configuration.

import { statSync } from 'node:fs';
import { formatCidr, type IpAddress, isInSubnet, parseAddress, parseCidr } from '../../../ipam/address.ts';
import { findEdges } from '../../../ipam/range/range.ts';
import { parseRangeSets } from '../../../ipam/range/range-set.ts';
import { findIpamDriver } from '../../../ipam/registry.ts';
import { type IpamRoute, parseRoutes } from '../../../ipam/range/route.ts';
import { selectMode } from '../../modes/mode-selection.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../protocol/config.ts';
import type { Fields } from '../../protocol/fields.ts';
import { type Fault, warning } from './fault.ts';
import { IPAM_KEYS } from './known-keys.ts';
import { suggest } from '../cli/spelling.ts';

/** As cni/modes/bridge/bridge.ts has it. */
const MIN_IPV6_MTU = 1280;
/** include/uapi/linux/rtnetlink.h */
const RT_SCOPE_LINK = 253;
/** fe80::/10, which every interface is on. */
const LINK_LOCAL = parseCidr('fe80::/10');

/** A network that the container gets an address of. */
interface Subnet {
  /** Of the key with the gateway. */
  readonly path: string;
  readonly subnet: IpAddress;
  readonly gateway: string | undefined;
}

/**
 * `raw`: without what ADD refuses as it stands. `pluginDirs`: undefined when it is not known where plugins are.
 * `originalPath`: where in the file a path of `raw` is.
 */
export function checkAddressing(
  raw: Readonly<Record<string, unknown>>,
  pluginDirs: readonly string[] | undefined,
  originalPath: (path: string) => string,
): Fault[] {
  const found = attempt(() => {
    const config = parseNetworkConfig(JSON.stringify(raw));
    const ipam = config.fields.object('ipam');
    return ipam && selectMode(config, new Map()).mode === 'bridge' ? { config, ipam } : undefined;
  });
  if (!found) return [];
  const { config, ipam } = found;
  const inCopy = attempt(() => subnetsOf(config, ipam)) ?? [];
  const subnets = inCopy.map((each) => ({ ...each, path: originalPath(each.path) }));
  return [
    ...checkMtu(config, subnets),
    ...(attempt(() => checkGateways(config, ipam, subnets)) ?? []),
    ...(attempt(() => checkEdges(config, ipam, originalPath)) ?? []),
    ...checkPlugin(ipam, pluginDirs),
  ];
}

/** Written ends that hand out an address which hosts use for something else. */
function checkEdges(config: NetworkConfig, ipam: Fields, originalPath: (path: string) => string): Fault[] {
  const type = ipam.string('type') ?? '';
  if (type === 'static' || !findIpamDriver(type)) return [];
  const { runtimeConfig, cniVersion } = config;
  return parseRangeSets({ ipam, runtimeConfig, cniVersion }).flatMap(({ path, ranges }) =>
    ranges.flatMap((range, i) =>
      findEdges(range).map(({ address, key, kind }) => {
        const at = originalPath(path.endsWith(']') ? `${path}[${i}].${key}` : `${path}.${key}`);
        const consequence =
          kind === 'network address'
            ? 'kernels before 5.14 take it for a broadcast address'
            : `a host with an address of this subnet ("isGateway") does not reach a container that has it`;
        return warning(
          `"${at}" has the ${kind} of ${formatCidr(range.subnet)}, ${address}, handed out: ${consequence}`,
        );
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
  return parseRangeSets({ ipam, runtimeConfig, cniVersion }).flatMap(({ path, ranges }) =>
    // A set with an index in its path is of a list of sets; the other is the old way to write a single range.
    ranges.map(({ subnet, gateway }, i) => ({
      path: path.endsWith(']') ? `${path}[${i}].gateway` : `${path}.gateway`,
      subnet,
      gateway,
    })),
  );
}

function checkMtu({ fields, argsCni }: NetworkConfig, subnets: readonly Subnet[]): Fault[] {
  const mtu = Number(argsCni.get('mtu') || fields.get('mtu') || MIN_IPV6_MTU);
  if (!(mtu < MIN_IPV6_MTU) || subnets.every(({ subnet }) => subnet.family === 4)) return [];
  const message = `Invalid "mtu": must be at least ${MIN_IPV6_MTU} for an IPv6 address, is ${mtu}`;
  return [{ level: 'error', message }];
}

function checkGateways({ fields }: NetworkConfig, ipam: Fields, subnets: readonly Subnet[]): Fault[] {
  const routes = parseRoutes(ipam);
  const isDefault = fields.boolean('isDefaultGateway') === true;
  return subnets.flatMap(({ path, subnet, gateway }) => {
    const address = gateway === undefined ? undefined : parseAddress(gateway);
    if (!address || isReachable(address, subnets, routes)) return [];
    if (!isDefault && !routes.some((route) => goesBy(route, gateway, address))) return [];
    return [
      warning(
        `"${path}" ${gateway} is not in ${formatCidr(subnet)}: the kernel refuses a route by a gateway that the container cannot reach`,
      ),
    ];
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
  const where = pluginDirs ? `and is not in ${pluginDirs.join(', ')}` : 'and must be in CNI_PATH';
  return [warning(`IPAM plugin "${type}" is not built in, ${where}${suggest(type, IPAM_KEYS.keys())}`)];
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined; // the parsers of ADD have been asked before, and this is told
  }
}
