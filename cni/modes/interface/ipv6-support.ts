// Whether the kernel can have IPv6 at all: it may be built without, or booted with ipv6.disable=1.

import { existsSync } from 'node:fs';
import { familyOf } from '../../address/ip.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import type { Addressing } from '../../attachment/attachment.ts';

/** Only there when the kernel has IPv6, in every network namespace. */
const IPV6_SYSCTLS = '/proc/sys/net/ipv6/conf';

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
    `Cannot give container "${key.containerId}" address ${address} of network "${key.network}": this kernel has no IPv6 (boot it without ipv6.disable=1, or leave the IPv6 range out of the network)`,
  );
}
