// The configuration of IPAM on etcd. Addresses are configured in host-local's words (`ranges`, `routes`, `resolvConf`,
// `dataDir`); the ranges are the pool of the whole cluster, the same in every node's configuration. What comes on top:
//
//   { "type": "podlink-etcd", "endpoints": ["https://10.0.0.1:2379"], "prefix": "/podlink", "node": "n1",
//     "blockSize": 26, "blockSizeIPv6": 122, "timeoutMs": 2000, "caFile": …, "certFile": …, "keyFile": … }

import { FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyValues, read, readKey } from '../../cni/protocol/schema.ts';
import { formatCidr, type IpFamily } from '../../cni/address/ip.ts';
import type { BlockSizes } from './block.ts';
import { DEFAULT_BLOCK_SIZES, ETCD_KEYS, LONGEST_PREFIX } from './etcd-keys.ts';
import type { RangeSet } from '../range/range-set.ts';

export interface EtcdConfig {
  /** Where the gateway is: `https://10.0.0.1:2379`, in the order to try them. */
  readonly endpoints: readonly string[];
  /** How long one endpoint may take for one answer. */
  readonly timeoutMs: number;
  /** How long all requests together may take, from the first on; undefined: as long as their time-outs let them. */
  readonly limitMs?: number;
  /** PEM, for https endpoints. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Before every key, without a slash at its end. */
  readonly prefix: string;
  readonly node: string;
}

const BLOCK_SIZE_KEYS = { 4: 'blockSize', 6: 'blockSizeIPv6' } as const satisfies Record<IpFamily, string>;

/** Parse all that is about etcd, and read the certificates. Throws FieldError naming the key. */
export function parseEtcdConfig(ipam: Fields): EtcdConfig {
  const values = read(ipam, ETCD_KEYS);
  const { endpoints, timeoutMs, prefix, node = '' } = values;
  return { endpoints, timeoutMs, tls: tlsOf(ipam, values), prefix, node };
}

function tlsOf(ipam: Fields, values: KeyValues<typeof ETCD_KEYS>): EtcdConfig['tls'] {
  const { caFile: ca, certFile: cert, keyFile: key, endpoints } = values;
  if ((cert === undefined) !== (key === undefined))
    throw new FieldError(
      ipam.at(cert === undefined ? 'certFile' : 'keyFile'),
      `must be given together with "${cert === undefined ? 'keyFile' : 'certFile'}": a certificate and its key`,
    );
  const given = (['caFile', 'certFile'] as const).find((name) => values[name] !== undefined);
  if (given !== undefined && !endpoints.some((endpoint) => endpoint.startsWith('https:')))
    throw new FieldError(ipam.at(given), 'is for https:// endpoints, of which there is none in "endpoints"');
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
}

/** Parse the sizes of blocks and hold them against the pool. Throws FieldError naming the key. */
export function parseBlockSizes(ipam: Fields, sets: readonly RangeSet[]): BlockSizes {
  return { 4: parseBlockSize(ipam, 4, sets), 6: parseBlockSize(ipam, 6, sets) };
}

function parseBlockSize(ipam: Fields, family: IpFamily, sets: readonly RangeSet[]): number {
  const key = BLOCK_SIZE_KEYS[family];
  const longest = LONGEST_PREFIX[family];
  const given = readKey(ipam, ETCD_KEYS, key);
  const subnets = sets.flatMap(({ ranges }) => ranges.filter((range) => range.family === family));
  if (given !== undefined && subnets.length === 0)
    ipam.refuse(key, `is for IPv${family} ranges, of which there is none`);
  let size = given ?? DEFAULT_BLOCK_SIZES[family];
  for (const { subnet } of subnets) {
    if (subnet.prefixLength <= size) continue;
    if (given !== undefined)
      ipam.refuse(
        key,
        `must be from ${subnet.prefixLength} to ${longest}, since a block is a part of ${formatCidr(subnet)}; is ${given}`,
      );
    size = subnet.prefixLength;
  }
  return size;
}
