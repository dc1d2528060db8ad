// The shapes a success result has had since 0.1.0 ("Success", SPEC.md of each version), each a pair of pure functions.
//
//   0.1.0, 0.2.0          ip4 and ip6, each { ip, gateway?, routes? }; dns. One address a family, no interfaces
//   0.3.0, 0.3.1, 0.4.0   interfaces { name, mac?, sandbox? }; ips with version "4" or "6"; routes; dns
//   1.0.0, 1.1.0          the same without ips[].version; interfaces { mtu, socketPath, pciID } too; dns only when there
//                         is something in it
//
// A route has { dst, gw? } up to 0.2.0, from 0.3.0 on { mtu, advmss, priority, table, scope } too. The specification has
// these, and interfaces { mtu, … }, from 1.1.0 on; the reference library prints them as it does here, and the plugin that
// asked for addresses relies on it. Reading takes them at every version (result-fields.ts).

import type { IpFamily } from '../../address/ip.ts';
import { cidrFamily } from '../address.ts';
import { CniError, ERR_INCOMPATIBLE_CNI_VERSION } from '../errors.ts';
import type { Fields } from '../fields.ts';
import type { Ip, Result, Route } from './result.ts';
import {
  decodeAddress,
  decodeCidr,
  decodeDns,
  decodeInterface,
  decodeIp,
  decodeRoute,
  encodeDns,
  encodeInterface,
  encodeRoute,
  nonEmpty,
  withoutAbsent,
} from './result-fields.ts';

/** How one or more versions write a result. Neither direction sees to `cniVersion`. */
export interface ResultShape {
  /** Keys in the order in which they are printed; those that are undefined are not. */
  encode(result: Result, cniVersion: string): Record<string, unknown>;
  /** Throws FieldError. */
  decode(fields: Fields): Result;
}

const OLD_FAMILIES = [
  { key: 'ip4', family: 4 },
  { key: 'ip6', family: 6 },
] as const satisfies readonly { key: string; family: IpFamily }[];

/** 0.1.0 and 0.2.0: the first address of each family, and the routes of a family that has one. */
export const shape010: ResultShape = {
  encode(result, cniVersion) {
    const document: Record<string, unknown> = {};
    for (const { key, family } of OLD_FAMILIES) {
      const ip = result.ips.find((candidate) => cidrFamily(candidate.address) === family);
      if (ip === undefined) continue;
      const routes = result.routes.filter((route) => cidrFamily(route.dst) === family).map(encodeRoute);
      document[key] = withoutAbsent({ ip: ip.address, gateway: ip.gateway, routes: nonEmpty(routes) });
    }
    if (Object.keys(document).length === 0)
      throw new CniError(
        ERR_INCOMPATIBLE_CNI_VERSION,
        `Cannot report the result at CNI version ${cniVersion}: cannot convert: no valid IP addresses`,
        'Results without an IP address exist from 0.3.0 on: raise the "cniVersion" of the network configuration',
      );
    return { ...document, dns: encodeDns(result.dns) };
  },
  decode(fields) {
    const ips: Ip[] = [];
    const routes: Route[] = [];
    for (const { key } of OLD_FAMILIES) {
      const old = fields.object(key);
      if (old === undefined) continue;
      ips.push(withoutAbsent<Ip>({ address: decodeCidr(old, 'ip'), gateway: decodeAddress(old, 'gateway') }));
      routes.push(...(old.objects('routes') ?? []).map(decodeRoute));
    }
    return { interfaces: [], ips, routes, dns: decodeDns(fields.object('dns')) };
  },
};

/** 0.3.0 to 0.4.0. */
export const shape030: ResultShape = {
  encode: ({ interfaces, ips, routes, dns }) => ({
    interfaces: nonEmpty(interfaces.map(encodeInterface)),
    ips: nonEmpty(ips.map((ip) => ({ version: `${cidrFamily(ip.address)}`, ...encodeIp(ip) }))),
    routes: nonEmpty(routes.map(encodeWholeRoute)),
    dns: encodeDns(dns),
  }),
  decode: decodeLists,
};

/** 1.0.0 and 1.1.0: what 1.1.0 defines is printed at 1.0.0 too, as the reference does. */
export const shape100: ResultShape = {
  encode: ({ interfaces, ips, routes, dns }) => ({
    interfaces: nonEmpty(
      interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({
        name,
        mac: mac || undefined,
        mtu,
        sandbox: sandbox || undefined,
        socketPath: socketPath || undefined,
        pciID: pciID || undefined,
      })),
    ),
    ips: nonEmpty(ips.map(encodeIp)),
    routes: nonEmpty(routes.map(encodeWholeRoute)),
    dns: encodeNonEmptyDns(dns),
  }),
  decode: decodeLists,
};

/** The lists of 0.3.0 and later. `ips[].version` says nothing the address does not, so it is not read. */
function decodeLists(fields: Fields): Result {
  const interfaces = (fields.objects('interfaces') ?? []).map(decodeInterface);
  return {
    interfaces,
    ips: (fields.objects('ips') ?? []).map((ip) => decodeIp(ip, interfaces.length)),
    routes: (fields.objects('routes') ?? []).map(decodeRoute),
    dns: decodeDns(fields.object('dns')),
  };
}

/** With what 1.1.0 defines: whoever the result is for would else put a route of another table into the main one. */
function encodeWholeRoute(route: Route): Route {
  const { mtu, advmss, priority, table, scope } = route;
  return withoutAbsent<Route>({ ...encodeRoute(route), mtu, advmss, priority, table, scope });
}

/** In the reference's order of keys. */
function encodeIp({ interface: index, address, gateway }: Ip): Ip {
  return withoutAbsent<Ip>({ interface: index, address, gateway });
}

function encodeNonEmptyDns(dns: Result['dns']): Result['dns'] | undefined {
  const encoded = encodeDns(dns);
  return Object.keys(encoded).length === 0 ? undefined : encoded;
}
