// The gateway addresses of an attachment.

import { familyOf, type IpFamily, splitCidr } from '../../address/ip.ts';
import type { Ip } from '../../protocol/result/result.ts';

/** The gateways with the prefix length of the address they serve. */
export function gatewayCidrs({ ips }: { readonly ips: readonly Ip[] }): string[] {
  const cidrs = ips.flatMap(({ address, gateway }) =>
    gateway === undefined ? [] : [`${gateway}/${splitCidr(address).prefixLength}`],
  );
  return [...new Set(cidrs)];
}

/** The families of addresses or CIDRs. */
export function familiesOf(addresses: readonly string[]): Set<IpFamily> {
  return new Set(addresses.map(familyOf));
}
