// The configuration of IPAM on etcd. Addresses are configured in host-local's words (`ranges`, `routes`, `resolvConf`,
// `dataDir`); the ranges are the pool of the whole cluster, the same in every node's configuration. What comes on top:
//
//   { "type": "podlink-etcd", "endpoints": ["https://10.0.0.1:2379"], "prefix": "/podlink", "node": "n1",
//     "blockSize": 26, "blockSizeIPv6": 122, "timeoutMs": 2000, "caFile": …, "certFile": …, "keyFile": … }

import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { mappedHint } from '../../cni/protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { formatCidr, type IpFamily } from '../address.ts';
import { type BlockSizes, SHORTEST_PREFIX } from './block.ts';
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

const DEFAULT_PREFIX = '/podlink';
const DEFAULT_TIMEOUT_MS = 2000;
const BLOCK_SIZE_KEYS: Readonly<Record<IpFamily, string>> = { 4: 'blockSize', 6: 'blockSizeIPv6' };
const DEFAULT_BLOCK_SIZES: BlockSizes = { 4: 26, 6: 122 };
const LONGEST_PREFIX: BlockSizes = { 4: 32, 6: 128 };

/** Parse all that is about etcd, and read the certificates. Throws FieldError naming the key. */
export function parseEtcdConfig(ipam: Fields): EtcdConfig {
  const endpoints = parseEndpoints(ipam);
  return {
    endpoints,
    timeoutMs: ipam.integer('timeoutMs', 100, 60_000) ?? DEFAULT_TIMEOUT_MS,
    tls: parseTls(ipam, endpoints),
    prefix: parsePrefix(ipam),
    node: parseNode(ipam),
  };
}

function parseEndpoints(ipam: Fields): string[] {
  const endpoints = ipam.strings('endpoints') ?? [];
  if (endpoints.length === 0)
    throw new FieldError(
      ipam.at('endpoints'),
      `must be a list of URLs such as ["https://10.0.0.1:2379"], is ${describeValue(ipam.get('endpoints'))}`,
    );
  return endpoints.map((text, i) => parseEndpoint(`${ipam.at('endpoints')}[${i}]`, text));
}

function parseEndpoint(path: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isEndpoint =
    url !== undefined &&
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    // Nothing but scheme, host and port: `origin` is what would be left of it.
    (url.href === url.origin || url.href === `${url.origin}/`);
  if (!isEndpoint)
    throw new FieldError(
      path,
      `must be http:// or https:// with host and port alone, such as "https://10.0.0.1:2379", is ${describeValue(text)}`,
    );
  const hint = mappedHint(url.hostname.replace(/^\[|\]$/g, ''));
  if (hint !== '') throw new FieldError(path, `must name an address as such, is ${describeValue(text)}${hint}`);
  return url.origin;
}

function parseTls(ipam: Fields, endpoints: readonly string[]): EtcdConfig['tls'] {
  const ca = readPem(ipam, 'caFile');
  const cert = readPem(ipam, 'certFile');
  const key = readPem(ipam, 'keyFile');
  if ((cert === undefined) !== (key === undefined))
    throw new FieldError(
      ipam.at(cert === undefined ? 'certFile' : 'keyFile'),
      `must be given together with "${cert === undefined ? 'keyFile' : 'certFile'}": a certificate and its key`,
    );
  const given = ['caFile', 'certFile'].find((name) => ipam.string(name));
  if (given !== undefined && !endpoints.some((endpoint) => endpoint.startsWith('https:')))
    throw new FieldError(ipam.at(given), 'is for https:// endpoints, of which there is none in "endpoints"');
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
}

function readPem(ipam: Fields, key: string): string | undefined {
  const path = ipam.string(key);
  if (path === undefined || path === '') return undefined;
  if (!isAbsolute(path)) throw new FieldError(ipam.at(key), `must be an absolute path, is ${describeValue(path)}`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new FieldError(
      ipam.at(key),
      `must be a file that can be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (!text.includes('-----BEGIN ')) throw new FieldError(ipam.at(key), `must be a PEM file, "${path}" is none`);
  return text;
}

function parsePrefix(ipam: Fields): string {
  const prefix = ipam.string('prefix') || DEFAULT_PREFIX;
  if (!/^(\/[A-Za-z0-9._-]+)+$/.test(prefix) || prefix.length > 200)
    throw new FieldError(
      ipam.at('prefix'),
      `must be words of letters, digits, ".", "_" and "-", with a slash before each, such as "${DEFAULT_PREFIX}", is ${describeValue(prefix)}`,
    );
  return prefix;
}

function parseNode(ipam: Fields): string {
  const node = ipam.string('node') || process.getBuiltinModule('node:os').hostname();
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(node))
    throw new FieldError(
      ipam.at('node'),
      `must be this node's own name of letters, digits, ".", "_" and "-", is ${describeValue(node)}`,
    );
  return node;
}

/** Parse the sizes of blocks and hold them against the pool. Throws FieldError naming the key. */
export function parseBlockSizes(ipam: Fields, sets: readonly RangeSet[]): BlockSizes {
  return { 4: parseBlockSize(ipam, 4, sets), 6: parseBlockSize(ipam, 6, sets) };
}

function parseBlockSize(ipam: Fields, family: IpFamily, sets: readonly RangeSet[]): number {
  const key = BLOCK_SIZE_KEYS[family];
  const longest = LONGEST_PREFIX[family];
  const given = ipam.integer(key, SHORTEST_PREFIX[family], longest);
  const subnets = sets.flatMap(({ ranges }) => ranges.filter((range) => range.family === family));
  if (given !== undefined && subnets.length === 0)
    throw new FieldError(ipam.at(key), `is for IPv${family} ranges, of which there is none`);
  let size = given ?? DEFAULT_BLOCK_SIZES[family];
  for (const { subnet } of subnets) {
    if (subnet.prefixLength <= size) continue;
    if (given !== undefined)
      throw new FieldError(
        ipam.at(key),
        `must be from ${subnet.prefixLength} to ${longest}, since a block is a part of ${formatCidr(subnet)}; is ${given}`,
      );
    size = subnet.prefixLength;
  }
  return size;
}
