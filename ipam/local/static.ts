// Addresses as they stand in the configuration: nothing is reserved, nothing is kept.
//
// `ipam.addresses`, then the list in CNI_ARGS `IP` (which adds) with `GATEWAY`; `args.cni.ips` replaces all of these, and
// `runtimeConfig.ips` replaces that. All addresses are CIDRs.

import { CIDR_PATTERN, mappedHint, parseAddressAt } from '../../cni/protocol/address.ts';
import { DNS_NOTES, DNS_ROW } from '../../cni/protocol/config-keys.ts';
import { FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyRows, keyTable } from '../../cni/protocol/schema.ts';
import {
  formatAddress,
  formatCidr,
  type IpAddress,
  isInSubnet,
  parseAddress,
  parseCidr,
} from '../../cni/address/ip.ts';
import { parseDns } from './dns.ts';
import type { IpamAddress, IpamNetworkRequest, LocalIpamDriver } from '../driver.ts';
import { IpamError } from '../errors.ts';
import { checkAddressesPerFamily } from '../range/range-set.ts';
import { describeHolder } from '../store/reservation.ts';
import { parseRoutes, ROUTES_NOTE, ROUTES_ROW } from '../range/route.ts';

interface StaticAddress {
  readonly cidr: IpAddress;
  gateway?: string;
}

const ADDRESS_KEYS = { address: { type: 'string' }, gateway: { type: 'string' } } as const satisfies KeyRows;

const STATIC_KEYS = {
  addresses: { type: 'objects', keys: ADDRESS_KEYS },
  routes: ROUTES_ROW,
  dns: DNS_ROW,
} as const satisfies KeyRows;

const STATIC_TABLE = keyTable(STATIC_KEYS, () => ({
  title: 'IPAM static',
  notes: {
    addresses: {
      about:
        'The addresses of the container; CNI_ARGS `IP` adds to them, `args.cni.ips` and the capability `ips` replace them.',
      keys: {
        address: { about: 'A CIDR.', isRequired: true, pattern: CIDR_PATTERN },
        gateway: 'The address of its gateway.',
      },
    },
    routes: ROUTES_NOTE(),
    dns: { about: 'The DNS settings of the result.', keys: DNS_NOTES() },
  },
}));

export const staticIpam: LocalIpamDriver = {
  type: 'static',
  keys: STATIC_TABLE,

  prepare(request) {
    const result = { ips: parseIps(request), routes: parseRoutes(request.ipam), dns: parseDns(request.ipam) };
    return { allocate: () => result };
  },

  release() {
    // Nothing was reserved. The configuration is not looked at, so that a broken one cannot stop a DEL.
  },

  check(request, ips) {
    const found = new Map(
      ips.map((ip) => (typeof ip === 'string' ? [normalize(ip), undefined] : [normalize(ip.address), ip])),
    );
    for (const { address, gateway } of parseIps(request)) {
      const where = `${describeHolder(request.owner)} in network "${request.owner.network}"`;
      if (!found.has(address)) throw new IpamError('missing', `Address ${address} of ${where} is not in its result`);
      const ip = found.get(address);
      if (ip && gateway !== undefined && (ip.gateway === undefined || formatGateway(ip.gateway) !== gateway))
        throw new IpamError(
          'missing',
          `Gateway of ${address} of ${where} is ${ip.gateway ?? 'not in its result'}, must be ${gateway}`,
        );
    }
  },

  status(request) {
    parseIps(request);
    parseRoutes(request.ipam);
    parseDns(request.ipam);
  },

  collect: () => [],
};

function parseIps(request: IpamNetworkRequest): IpamAddress[] {
  const { runtimeConfig, argsCni } = request;
  // All three are parsed even where one replaces another: what is configured wrongly is wrong also on a day without it.
  const configured = configuredAddresses(request);
  const replacements = [runtimeConfig, argsCni].map(cidrList).filter((list) => list.length > 0);
  const addresses = replacements[0] ?? configured;
  checkAddressesPerFamily(
    request.cniVersion,
    addresses.map(({ cidr }) => cidr.family),
  );
  const ips = addresses.map(({ cidr, gateway }) => ({
    address: formatCidr(cidr),
    ...(gateway === undefined ? {} : { gateway }),
  }));
  const twice = ips.find(({ address }, i) => ips.findIndex((other) => other.address === address) < i);
  if (twice)
    throw new IpamError('config', `Address ${twice.address} of network "${request.owner.network}" is given twice`);
  return ips;
}

function configuredAddresses({ ipam, cniArgs, warn }: IpamNetworkRequest): StaticAddress[] {
  const entries = ipam.items(ipam.objects('addresses') ?? [], ipam.at('addresses'), parseEntry);
  const addresses = [...entries, ...cidrArgument(cniArgs.get('IP'))];
  for (const gateway of listArgument(cniArgs.get('GATEWAY'))) {
    const parsed = parseAddress(gateway);
    if (parsed === undefined)
      throw new IpamError(
        'argument',
        `Invalid CNI_ARGS "GATEWAY": invalid gateway address: ${gateway}${mappedHint(gateway)}`,
        { variable: 'CNI_ARGS' },
      );
    const reached = addresses.filter(({ cidr }) => isInSubnet(parsed, cidr));
    for (const address of reached) address.gateway = formatAddress(parsed);
    if (reached.length === 0) warn?.(`CNI_ARGS "GATEWAY" ${gateway} is in the subnet of no address and is not used`);
  }
  return addresses;
}

function parseEntry(fields: Fields): StaticAddress {
  const text = fields.string('address') ?? '';
  const cidr = parseCidr(text);
  if (cidr === undefined)
    throw new FieldError(
      fields.at('address'),
      `the 'address' field is expected to be in CIDR notation, got: '${text}'${mappedHint(text)}`,
    );
  const gateway = fields.get('gateway');
  if (gateway === undefined || gateway === '') return { cidr };
  const parsed = fields.part(() => parseAddressAt(fields.at('gateway'), gateway));
  if (parsed === undefined) return { cidr };
  if (parsed.family !== cidr.family)
    throw new FieldError(fields.at('gateway'), `must be of the family of address ${formatCidr(cidr)}`);
  return { cidr, gateway: formatAddress(parsed) };
}

function listArgument(text: string | undefined): string[] {
  return text === undefined || text === '' ? [] : text.split(',').map((item) => item.trim());
}

function cidrArgument(text: string | undefined): StaticAddress[] {
  return listArgument(text).map((item) => {
    const cidr = parseCidr(item);
    if (cidr) return { cidr };
    throw new IpamError(
      'argument',
      `Invalid CNI_ARGS "IP": the 'ip' field is expected to be in CIDR notation, got: '${item}'${mappedHint(item)}`,
      { variable: 'CNI_ARGS' },
    );
  });
}

function cidrList(fields: Fields): StaticAddress[] {
  const list = fields.strings('ips', (text, path) => {
    const cidr = parseCidr(text);
    if (cidr) return { cidr };
    throw new FieldError(
      path,
      `an entry in the 'ips' field is NOT in CIDR notation, got: '${text}'${mappedHint(text)}`,
    );
  });
  return list ?? [];
}

function normalize(text: string): string {
  const cidr = parseCidr(text);
  return cidr ? formatCidr(cidr) : text;
}

function formatGateway(text: string): string {
  const address = parseAddress(text);
  return address ? formatAddress(address) : text;
}
