// The keys of host-local, and those of its words that podlink-etcd takes over.

import { isAbsolute } from 'node:path';
import { CIDR_PATTERN } from '../../cni/protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyNotes, type KeyRows, keyTable } from '../../cni/protocol/schema.ts';
import { RANGE_KEYS, RANGE_NOTES } from '../range/range.ts';
import { ROUTES_NOTE, ROUTES_ROW } from '../range/route.ts';

/** PATH_MAX and NAME_MAX (include/uapi/linux/limits.h), with room for the network's name and the file's. */
const MAX_PATH_BYTES = 3500;
const MAX_NAME_BYTES = 255;

/** Those of a pool of addresses, kept in files of this node. */
export const POOL_KEYS = {
  ranges: { type: 'lists', keys: RANGE_KEYS },
  ...RANGE_KEYS,
  routes: ROUTES_ROW,
  resolvConf: { type: 'string' },
  dataDir: { type: 'string', default: '/var/lib/cni/networks', read: dataDirAt },
} as const satisfies KeyRows;

export const HOST_LOCAL_KEYS = {
  ...POOL_KEYS,
  statusThresholdPercent: { type: 'integer', min: 1, max: 100 },
} as const satisfies KeyRows;

export const POOL_NOTES = (): KeyNotes<typeof POOL_KEYS> => ({
  ranges: {
    about: 'A list of sets, each a list of ranges; a container gets one address of each set.',
    keys: RANGE_NOTES(),
  },
  ...RANGE_NOTES(),
  subnet: { about: 'A single range, in the place of `ranges` or before them.', pattern: CIDR_PATTERN },
  exclude: 'Addresses, CIDRs or spans `a-b` of any range that are not handed out.',
  routes: ROUTES_NOTE(),
  resolvConf: 'A file in the form of resolv.conf(5), for the DNS of the result.',
  dataDir: { about: 'An absolute path: the directory of the reservations.', pattern: '^(/|$)' },
});

export const HOST_LOCAL_TABLE = keyTable(HOST_LOCAL_KEYS, () => ({
  title: 'IPAM host-local',
  notes: {
    ...POOL_NOTES(),
    statusThresholdPercent: {
      about: 'From how many percent of taken addresses on STATUS calls the pool exhausted.',
      unit: 'percent',
      otherwise: '100',
    },
  },
  capabilities: {
    ipRanges: { about: 'Sets of ranges, before those of `ranges`.' },
    ips: { about: 'The addresses that the container is to get; with `static` in the place of `addresses`.' },
  },
}));

function dataDirAt(fields: Fields, key: string): string | undefined {
  const dataDir = fields.string(key) || undefined;
  if (dataDir === undefined) return undefined;
  const isPath = isAbsolute(dataDir) && !dataDir.includes('\0') && Buffer.byteLength(dataDir) < MAX_PATH_BYTES;
  if (!isPath || dataDir.split('/').some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES)) {
    throw new FieldError(fields.at(key), `must be an absolute path, is ${describeValue(dataDir)}`);
  }
  return dataDir;
}
