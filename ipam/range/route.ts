// Routes of an IPAM section: `{ "dst": "10.9.0.0/16", "gw": "10.1.2.1", … }`, with the fields of CNI 1.1.0
// (mtu, advmss, priority, table, scope; SPEC.md "ADD Success").

import { CIDR_PATTERN, parseAddressAt, parseCidrAt } from '../../cni/protocol/address.ts';
import { FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyNotes, type KeyRows, readKey } from '../../cni/protocol/schema.ts';
import { firstNumberOf, formatAddress, formatCidr, formatNumber, type IpAddress } from '../../cni/address/ip.ts';

export interface IpamRoute {
  /** CIDR. In IPv6 with the host bits as written, which the kernel ignores. */
  dst: string;
  gw?: string;
  /** Bytes. */
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  scope?: number;
}

const UINT32_MAX = 0xffff_ffff;

const NUMBER = { type: 'integer', min: 0, max: UINT32_MAX } as const;

const ROUTE_KEYS = {
  dst: { type: 'string', read: destinationAt },
  gw: { type: 'string', read: gatewayAt },
  mtu: NUMBER,
  advmss: NUMBER,
  priority: NUMBER,
  table: NUMBER,
  scope: { type: 'integer', min: 0, max: 255 },
} as const satisfies KeyRows;

const ROUTE_NOTES = (): KeyNotes<typeof ROUTE_KEYS> => ({
  dst: { about: 'A CIDR; in IPv4 its host bits are 0.', isRequired: true, pattern: CIDR_PATTERN },
  gw: { about: 'The address that it goes by.', otherwise: 'the gateway of the address' },
  mtu: { about: 'Of packets by this route; 0 for none of its own.', unit: 'bytes' },
  advmss: { about: 'The largest segment to announce to TCP; 0 for none of its own.', unit: 'bytes' },
  priority: 'The metric; 0 for none of its own.',
  table: { about: 'The routing table.', otherwise: 'the main one' },
  scope: '253 for a route to the link itself, without a gateway.',
});

/** The row `routes` of an IPAM section. */
export const ROUTES_ROW = { type: 'objects', keys: ROUTE_KEYS } as const;
export const ROUTES_NOTE = () => ({ about: "The container's routes.", keys: ROUTE_NOTES() });

/** Parse the `routes` of an IPAM section; an empty list when there are none. Throws FieldError naming the key. */
export function parseRoutes(ipam: Fields): IpamRoute[] {
  return ipam.items(ipam.objects('routes') ?? [], ipam.at('routes'), parseRoute);
}

/**
 * Refuse routes that a result of this version cannot hold: 0.1.0 and 0.2.0 know `dst` and `gw` alone, and the plugin that
 * asked for addresses would put a route of another table into the main one. Throws FieldError naming the key.
 */
export function refuseInexpressibleRoutes(ipam: Fields, cniVersion: string): void {
  if (!/^0\.[12]\./.test(cniVersion)) return;
  for (const [i, route] of parseRoutes(ipam).entries()) {
    const key = Object.keys(route).find((name) => name !== 'dst' && name !== 'gw');
    if (key === undefined) continue;
    throw new FieldError(
      `${ipam.at('routes')}[${i}].${key}`,
      `cannot be passed on at cniVersion ${cniVersion}, whose routes have "dst" and "gw" alone: set "cniVersion" to 0.3.0 or later`,
    );
  }
}

function parseRoute(fields: Fields): IpamRoute {
  const dst = destinationAt(fields, 'dst');
  const route: IpamRoute = { dst: formatCidr(dst) };

  const gw = readKey(fields, ROUTE_KEYS, 'gw');
  if (gw && gw.family !== dst.family)
    fields.refuse('gw', `${formatAddress(gw)} is not of the family of dst ${route.dst}`);
  else if (gw) route.gw = formatAddress(gw);
  // 0 is "not set" for these three, as in the reference's types; table and scope have a meaning for it.
  for (const key of ['mtu', 'advmss', 'priority'] as const) {
    const value = readKey(fields, ROUTE_KEYS, key);
    if (value) route[key] = value;
  }
  const table = readKey(fields, ROUTE_KEYS, 'table');
  if (table !== undefined) route.table = table;
  const scope = readKey(fields, ROUTE_KEYS, 'scope');
  if (scope !== undefined) route.scope = scope;
  return route;
}

/** Throws FieldError also when it is missing. */
function destinationAt(fields: Fields, key: string): IpAddress {
  const dst = parseCidrAt(fields.at(key), fields.get(key));
  // The kernel refuses such a route in IPv4 (fib_table_insert) and masks it silently in IPv6.
  if (dst.family === 4 && firstNumberOf(dst) !== dst.number) {
    const network = `${formatNumber(dst.family, firstNumberOf(dst))}/${dst.prefixLength}`;
    throw new FieldError(fields.at(key), `${formatCidr(dst)} has host bits set, the network is ${network}`);
  }
  return dst;
}

function gatewayAt(fields: Fields, key: string): IpAddress | undefined {
  const gateway = fields.get(key);
  return gateway === undefined || gateway === '' ? undefined : parseAddressAt(fields.at(key), gateway);
}
