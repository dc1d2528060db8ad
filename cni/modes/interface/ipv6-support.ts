// Whether the kernel can have IPv6 at all: it may be built without, or booted with ipv6.disable=1.

import { existsSync } from 'node:fs';
import { familyOf } from '../../address/ip.ts';
import type { AttachmentKey, NetworkConfig } from '../../protocol/config.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import { isObject } from '../../protocol/fields.ts';
import type { Addressing } from '../../attachment/attachment.ts';

/** Only there when the kernel has IPv6, in every network namespace. */
const IPV6_SYSCTLS = '/proc/sys/net/ipv6/conf';

const REMEDY = 'this kernel has no IPv6 (boot it without ipv6.disable=1, or leave the IPv6 range out of the network)';

/**
 * Refuse IPv6 addresses where the kernel has no IPv6. Changes nothing.
 *
 * An interface with the IPv4 half alone would not be what the result says. Throws CniError 100.
 */
export function requireIpv6Support({ ips }: Pick<Addressing, 'ips'>, key: AttachmentKey): void {
  const address = ips.find((ip) => familyOf(ip.address) === 6)?.address;
  if (address === undefined || existsSync(IPV6_SYSCTLS)) return;
  throw new CniError(
    ERR_KERNEL_REFUSED,
    `Cannot give container "${key.containerId}" address ${address} of network "${key.network}": ${REMEDY}`,
  );
}

/** Likewise, by the ranges and addresses that stand in a configuration: before anybody has allocated one. */
export function requireIpv6SupportFor({ name, fields }: Pick<NetworkConfig, 'name' | 'fields'>): void {
  const ipam = fields.get('ipam');
  if (!isObject(ipam) || existsSync(IPV6_SYSCTLS)) return;
  const cidr = findIpv6([ipam.ranges, ipam.subnet, ipam.addresses]);
  if (cidr === undefined) return;
  throw new CniError(ERR_KERNEL_REFUSED, `Cannot serve ${cidr} of network "${name}": ${REMEDY}`);
}

function findIpv6(value: unknown): string | undefined {
  if (typeof value === 'string') return /^[0-9a-f]*:[0-9a-f:.]*\/\d+$/i.test(value) ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.values(value)
    .map(findIpv6)
    .find((found) => found !== undefined);
}
