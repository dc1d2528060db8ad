// Addresses that the runtime or the user asks for: CNI_ARGS `IP`, `args.cni.ips`, `runtimeConfig.ips`, taken together.
// Each is an address, alone or with a prefix length, which host-local ignores: its ranges say what it is.

import { mappedHint } from '../../cni/protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import {
  firstNumberOf,
  formatAddress,
  formatCidr,
  type IpAddress,
  isInSubnet,
  lastNumberOf,
  parseAddress,
  parseCidr,
} from '../../cni/address/ip.ts';
import { gatewaysOf } from '../local/allocator.ts';
import { IpamError } from '../errors.ts';
import { isExcluded } from './range.ts';
import { findRange, formatRangeSet, type RangeSet } from './range-set.ts';

export interface RequestSource {
  readonly cniArgs: ReadonlyMap<string, string>;
  readonly argsCni: Fields;
  readonly runtimeConfig: Fields;
}

/**
 * Parse the requested addresses and give each to the range set that has it, by the set's index.
 *
 * Throws FieldError or, for CNI_ARGS, IpamError 'argument' for what is not an address; IpamError 'argument' for an address
 * outside every range, an excluded one, a gateway, or a second one for the same set.
 */
export function assignRequested(source: RequestSource, sets: readonly RangeSet[]): Map<number, string> {
  const gateways = gatewaysOf(sets);
  const assigned = new Map<number, string>();
  for (const [text, address] of parseRequested(source)) {
    const index = sets.findIndex((set) => findRange(set, address));
    if (gateways.has(text)) throw isGateway(text, index);
    const set = sets[index];
    if (set === undefined) throw outsideEveryRange(text, address, sets);
    const range = findRange(set, address);
    if (range && isExcluded(address, range))
      throw new IpamError(
        'argument',
        `Requested IP ${text} is excluded by the configuration: choose another of ${formatRangeSet(set)}`,
        { range: formatRangeSet(set) },
      );
    const other = assigned.get(index);
    if (other !== undefined)
      throw new IpamError(
        'argument',
        `Requested IPs ${other} and ${text} are both of range set ${formatRangeSet(set)}, which gives an attachment one address: request one of them`,
        { range: formatRangeSet(set) },
      );
    assigned.set(index, text);
  }
  return assigned;
}

/** By their canonical text, so that the same address asked for in two places is one. */
function parseRequested({ cniArgs, argsCni, runtimeConfig }: RequestSource): Map<string, IpAddress> {
  const addresses = [
    parseArgument(cniArgs.get('IP')),
    ...parseList(argsCni, 'ips'),
    ...parseList(runtimeConfig, 'ips'),
  ];
  return new Map(addresses.flatMap((address) => (address ? [[formatAddress(address), address]] : [])));
}

function parseArgument(text: string | undefined): IpAddress | undefined {
  if (text === undefined || text === '') return undefined;
  const address = parseAddress(text) ?? parseCidr(text);
  if (address) return address;
  throw new IpamError(
    'argument',
    `Invalid CNI_ARGS "IP": must be one IP address, is ${describeValue(text)}${mappedHint(text)}`,
    { variable: 'CNI_ARGS' },
  );
}

function parseList(fields: Fields, key: string): IpAddress[] {
  const list = fields.strings(key, (text, path) => {
    const address = parseAddress(text) ?? parseCidr(text);
    if (address) return address;
    throw new FieldError(
      path,
      `must be an IP address, with or without prefix length, is ${describeValue(text)}${mappedHint(text)}`,
    );
  });
  return list ?? [];
}

/** A gateway may also lie outside of its own range. */
function isGateway(text: string, index: number): IpamError {
  const failure = index < 0 ? 'failed to allocate all requested IPs' : `failed to allocate for range ${index}`;
  return new IpamError('argument', `${failure}: requested ip ${text} is subnet's gateway: choose another`);
}

function outsideEveryRange(text: string, address: IpAddress, sets: readonly RangeSet[]): IpamError {
  const range = sets.map(formatRangeSet).join(' and ');
  const subnet = sets.flatMap((set) => set.ranges).find((each) => isInSubnet(address, each.subnet))?.subnet;
  const isEdge = subnet && [firstNumberOf(subnet), lastNumberOf(subnet)].includes(address.number);
  const reason = isEdge ? `the network or broadcast address of ${formatCidr(subnet)}` : 'in none of the ranges';
  return new IpamError(
    'argument',
    `failed to allocate all requested IPs: ${text} is ${reason}: choose one of ${range}`,
    { range },
  );
}
