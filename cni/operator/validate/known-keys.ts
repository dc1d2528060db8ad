// The keys of a network configuration that podlink reads: what `validate` knows from a slip of the pen.
//
// The parsers are where they are read, each beside what it is for; known-keys.test.ts holds this list against them.

/** The keys of an object, and of those below it. `undefined` for what is not looked into. Lists are transparent. */
export interface KeyTree {
  readonly [key: string]: KeyTree | undefined;
}

const leaves = (...keys: readonly string[]): KeyTree => Object.fromEntries(keys.map((key) => [key, undefined]));

const DNS = leaves('nameservers', 'domain', 'search', 'options');

/** What every plugin's entry may have (CNI specification, "Network configuration format"). */
const OF_SPECIFICATION: KeyTree = {
  ...leaves('cniVersion', 'name', 'type', 'capabilities', 'runtimeConfig', 'args', 'prevResult', 'ipam'),
  dns: DNS,
};

/** Keys of other plugins that promise protection: cni/features/firewall/unserved-protection.ts. */
const UNSERVED = ['ingressPolicy', 'iptablesAdminChainName', 'firewalldZone', 'vrfname', 'spoofchk', 'isolate'];

/** The entry of type `podlink`, without its `ipam`. */
export const ENTRY_KEYS: KeyTree = {
  ...OF_SPECIFICATION,
  // Modes: cni/modes/mode-selection.ts, target.ts.
  ...leaves('mode', 'target', 'targetPaths', 'allowModes'),
  overrides: leaves('pod', 'mode', 'target'),
  // Bridge mode: cni/modes/bridge/config.ts.
  ...leaves('bridge', 'isGateway', 'isDefaultGateway', 'forceAddress', 'hairpinMode', 'promiscMode', 'portIsolation'),
  ...leaves('enabledad', 'disableContainerInterface', 'mtu', 'mac', 'vlan', 'preserveDefaultVlan'),
  vlanTrunk: leaves('id', 'minID', 'maxID'),
  // Features: cni/features.
  ...leaves('ipMasq', 'ipMasqBackend', 'ipMasqExclude', 'masqueradeRandom', 'icc', 'internal', 'macspoofchk'),
  ...leaves('hostBindingIPv4', 'snat', 'masqAll', 'backend', 'conditionsV4', 'conditionsV6', 'markMasqBit'),
  ...leaves('externalSetMarkChain', 'ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'),
  ...leaves('unshapedSubnets', 'shapedSubnets', 'sysctl', 'promisc', 'allmulti', 'txQLen'),
  // Refused, with what to do instead.
  ...leaves(...UNSERVED),
  // The call log: cni/verbs/log/call-log.ts.
  ...leaves('log'),
};

/** The keys of an entry that serve an interface of the container's own: of mode bridge alone. */
export const BRIDGE_KEYS = Object.keys(ENTRY_KEYS).filter(
  (key) =>
    key === 'ipam' ||
    !(
      key in OF_SPECIFICATION ||
      ['mode', 'target', 'targetPaths', 'allowModes', 'overrides', 'log'].includes(key) ||
      // In a mode without such an interface ADD refuses these, or has a use for them.
      ['mac', 'sysctl', 'promisc', 'allmulti', 'txQLen', ...UNSERVED].includes(key)
    ),
);

const RANGE = leaves('subnet', 'rangeStart', 'rangeEnd', 'gateway', 'exclude');
const ROUTES = leaves('dst', 'gw', 'mtu', 'advmss', 'priority', 'table', 'scope');

const HOST_LOCAL: KeyTree = {
  ...leaves('type', 'dataDir', 'resolvConf', 'statusThresholdPercent'),
  ...RANGE,
  ranges: RANGE,
  routes: ROUTES,
};

/** The `ipam` section, by its type. */
export const IPAM_KEYS: ReadonlyMap<string, KeyTree> = new Map([
  ['host-local', HOST_LOCAL],
  ['static', { type: undefined, addresses: leaves('address', 'gateway'), routes: ROUTES, dns: DNS }],
  [
    'podlink-etcd',
    {
      ...HOST_LOCAL,
      ...leaves('endpoints', 'prefix', 'node', 'blockSize', 'blockSizeIPv6', 'timeoutMs'),
      ...leaves('caFile', 'certFile', 'keyFile'),
    },
  ],
]);

/** A list of plugins (CNI specification, "Network configuration format"). */
export const LIST_KEYS: KeyTree = {
  ...leaves('cniVersion', 'cniVersions', 'name', 'disableCheck', 'disableGC', 'loadOnlyInlinedPlugins', 'plugins'),
  // What Podman (its labels) and nerdctl keep there for themselves.
  ...leaves('args', 'nerdctlID', 'nerdctlLabels'),
};

/** Capabilities podlink acts on. */
export const CAPABILITIES = [
  'portMappings',
  'bandwidth',
  'ips',
  'mac',
  'ipRanges',
  'dns',
  'io.kubernetes.cri.pod-annotations',
];

/** Capabilities of the conventions (CNI CONVENTIONS.md) that podlink leaves to other plugins. */
export const FOREIGN_CAPABILITIES = ['infinibandGUID', 'deviceID', 'aliases', 'cgroupPath'];

/** A key that is in no list: where it stands, and which were known there. */
export interface UnknownKey {
  readonly path: string;
  readonly key: string;
  readonly known: readonly string[];
}

/** The keys of a value that the tree does not know, matched without regard to case as they are read. */
export function findUnknownKeys(value: unknown, tree: KeyTree, path = ''): UnknownKey[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => findUnknownKeys(item, tree, `${path}[${i}]`));
  if (typeof value !== 'object' || value === null) return [];
  const known = Object.keys(tree);
  return Object.entries(value).flatMap(([key, below]) => {
    const at = path === '' ? key : `${path}.${key}`;
    const match = known.find((name) => name.toLowerCase() === key.toLowerCase());
    if (match === undefined) return [{ path: at, key, known }];
    const subtree = tree[match];
    return subtree ? findUnknownKeys(below, subtree, at) : [];
  });
}

/** The paths of the keys in a tree whose value is the empty text. */
export function findEmptyTexts(value: unknown, tree: KeyTree, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => findEmptyTexts(item, tree, `${path}[${i}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => {
    const match = Object.keys(tree).find((name) => name.toLowerCase() === key.toLowerCase());
    if (match === undefined) return [];
    const at = path === '' ? key : `${path}.${key}`;
    if (below === '') return [at];
    const subtree = tree[match];
    return subtree ? findEmptyTexts(below, subtree, at) : [];
  });
}
