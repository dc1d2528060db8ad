// The keys of IPAM on etcd: host-local's words, and what comes on top.

import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { mappedHint } from '../../cni/protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyRows, keyTable } from '../../cni/protocol/schema.ts';
import { POOL_KEYS, POOL_NOTES } from '../local/host-local-keys.ts';
import { type BlockSizes, SHORTEST_PREFIX } from './block.ts';

const DEFAULT_PREFIX = '/podlink';
export const DEFAULT_BLOCK_SIZES: BlockSizes = { 4: 26, 6: 122 };
export const LONGEST_PREFIX: BlockSizes = { 4: 32, 6: 128 };

const PEM_FILE = { type: 'string', read: pemAt } as const;

export const ETCD_KEYS = {
  endpoints: { type: 'strings', default: [], read: endpointsAt },
  caFile: PEM_FILE,
  certFile: PEM_FILE,
  keyFile: PEM_FILE,
  timeoutMs: { type: 'integer', min: 100, max: 60_000, default: 2000 },
  prefix: { type: 'string', default: DEFAULT_PREFIX, read: prefixAt },
  node: { type: 'string', read: nodeAt },
  blockSize: { type: 'integer', min: SHORTEST_PREFIX[4], max: LONGEST_PREFIX[4] },
  blockSizeIPv6: { type: 'integer', min: SHORTEST_PREFIX[6], max: LONGEST_PREFIX[6] },
} as const satisfies KeyRows;

export const ETCD_TABLE = keyTable({ ...ETCD_KEYS, ...POOL_KEYS }, () => ({
  title: 'IPAM podlink-etcd',
  notes: {
    endpoints: { about: 'URLs of etcd, tried in order.', isRequired: true, pattern: '^https?://' },
    caFile: { about: 'The certificate of the authority that etcd is to be known by, as PEM.', pattern: '^(/|$)' },
    certFile: { about: 'The certificate of this client, as PEM; together with `keyFile`.', pattern: '^(/|$)' },
    keyFile: { about: 'Its key, as PEM.', pattern: '^(/|$)' },
    timeoutMs: { about: 'For one answer of one endpoint.', unit: 'ms' },
    prefix: { about: 'Of all keys in etcd.', pattern: '^((/[A-Za-z0-9._-]+)+)?$' },
    node: { about: 'Must be unique in the cluster, and stay the same.', otherwise: 'the host name' },
    blockSize: { about: 'The prefix length of a block of IPv4 addresses.', otherwise: '26' },
    blockSizeIPv6: { about: 'The prefix length of a block of IPv6 addresses.', otherwise: '122' },
    ...POOL_NOTES(),
  },
}));

function endpointsAt(ipam: Fields, key: string): string[] | undefined {
  const endpoints = ipam.strings(key, readEndpoint) ?? [];
  if (endpoints.length > 0) return endpoints;
  return ipam.refuse(
    key,
    `must be a list of URLs such as ["https://10.0.0.1:2379"], is ${describeValue(ipam.get(key))}`,
  );
}

function readEndpoint(text: string, path: string): string {
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

/** The text of a PEM file; undefined when the key is absent or empty. */
function pemAt(ipam: Fields, key: string): string | undefined {
  const path = ipam.string(key);
  if (path === undefined || path === '') return undefined;
  if (!isAbsolute(path)) throw new FieldError(ipam.at(key), `must be an absolute path, is ${describeValue(path)}`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new FieldError(ipam.at(key), `must be a file that can be read: ${reason}`, { isOfMachine: true });
  }
  if (!text.includes('-----BEGIN ')) throw new FieldError(ipam.at(key), `must be a PEM file, "${path}" is none`);
  return text;
}

function prefixAt(ipam: Fields, key: string): string | undefined {
  const prefix = ipam.string(key) || undefined;
  if (prefix === undefined || (/^(\/[A-Za-z0-9._-]+)+$/.test(prefix) && prefix.length <= 200)) return prefix;
  return ipam.refuse(
    key,
    `must be words of letters, digits, ".", "_" and "-", with a slash before each, such as "${DEFAULT_PREFIX}", is ${describeValue(prefix)}`,
  );
}

/** The node's name, of the host when the key is absent or empty. */
function nodeAt(ipam: Fields, key: string): string {
  const node = ipam.string(key) || process.getBuiltinModule('node:os').hostname();
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(node)) return node;
  throw new FieldError(
    ipam.at(key),
    `must be this node's own name of letters, digits, ".", "_" and "-", is ${describeValue(node)}`,
  );
}
