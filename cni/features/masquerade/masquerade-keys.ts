// The keys of masquerading.

import { CIDR_PATTERN, cidrFamily, mappedHint } from '../../protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable } from '../../protocol/schema.ts';

export const MASQUERADE_KEYS = {
  ipMasqExclude: { type: 'strings', default: [], read: networksAt },
  ipMasq: { type: 'boolean', default: false },
  ipMasqBackend: { type: 'string', words: ['iptables', 'nftables', ''] },
  masqueradeRandom: { type: 'boolean', default: false },
} as const satisfies KeyRows;

export const MASQUERADE_TABLE = keyTable(MASQUERADE_KEYS, () => ({
  title: 'Masquerading',
  needs: 'hasOwnInterface',
  notes: {
    ipMasq: {
      about: "Masquerade what leaves the container's own network, IPv4 and IPv6.",
      kernel: 'masquerading',
    },
    ipMasqExclude: {
      about: "CIDRs that are reached with the container's own address, such as other nodes' pods.",
      pattern: CIDR_PATTERN,
    },
    ipMasqBackend: 'Taken as the reference plugins know it; nftables does the work whatever it says.',
    masqueradeRandom:
      "Leave from a port chosen at random; else a connection keeps the container's port if it is free (SIP, WireGuard).",
  },
}));

function networksAt(fields: Fields, key: string): string[] | undefined {
  return fields.strings(key, (cidr, path) => {
    if (cidrFamily(cidr) !== undefined) return cidr;
    throw new FieldError(
      path,
      `must be a network such as 10.0.0.0/8 or fd00::/8, is ${describeValue(cidr)}${mappedHint(cidr)}`,
    );
  });
}
