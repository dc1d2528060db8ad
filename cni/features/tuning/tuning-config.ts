// The configuration of tuning: keys and meaning of the reference tuning plugin, at the top level of our entry and, before
// it, in `args.cni`. The keys `mac` and `mtu` are the mode's, which makes the interface with them.

import type { SysctlKey } from '../../kernel/sysctl.ts';
import type { NetworkConfig } from '../../protocol/config.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../../protocol/errors.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { hasControlCharacter } from '../../protocol/name.ts';
import { type KeyRows, keyTable, readKey } from '../../protocol/schema.ts';
import type { FeatureRequest } from '../feature.ts';

/** A sysctl that is to have a value. */
export interface SysctlSetting {
  /** As it stands in the configuration: what the operator's allow-list is about. */
  readonly text: string;
  /** Path of the setting in the configuration, for errors. */
  readonly path: string;
  readonly key: SysctlKey;
  readonly value: string;
}

export interface TuningConfig {
  /** In the order of the configuration, each key once. */
  readonly sysctls: readonly SysctlSetting[];
  readonly isPromiscuous: boolean;
  readonly isAllMulticast: boolean;
  /** Packets; undefined leaves the kernel's default. */
  readonly txQueueLength: number | undefined;
}

/** The kernel's unsigned int. */
const MAX_TX_QUEUE_LENGTH = 0xffff_ffff;

const TUNING_KEYS = {
  sysctl: { type: 'object' },
  promisc: { type: 'boolean' },
  allmulti: { type: 'boolean' },
  txQLen: { type: 'integer', min: 0, max: MAX_TX_QUEUE_LENGTH },
} as const satisfies KeyRows;

export const TUNING_TABLE = keyTable(TUNING_KEYS, () => ({
  title: 'Tuning',
  notes: {
    sysctl: {
      about:
        "Sysctls of the container's namespace, where `IFNAME` stands for its interface, as `{ NAME: VALUE }`; DEL puts them back. Refused where the namespace is shared.",
      values: 'string',
    },
    promisc: {
      about: "Make the container's interface promiscuous; refused in a mode without one.",
      otherwise: 'false',
    },
    allmulti: {
      about: "Let the container's interface take all multicast packets; refused in a mode without one.",
      otherwise: 'false',
    },
    txQLen: {
      about: "Of the interface's transmit queue; refused in a mode without one.",
      unit: 'packets',
      otherwise: "the kernel's",
    },
  },
}));

/**
 * Sysctls that can be written from a container's namespace before Linux 5.12, and are the whole node's all the same
 * (kernel commits 2671fa4dc010 and 97684f0970f6). All others of the node are missing or read-only there.
 */
const NODE_WIDE = [
  'netfilter/nf_conntrack_max',
  'netfilter/nf_conntrack_buckets',
  'netfilter/nf_conntrack_expect_max',
  'nf_conntrack_max',
  'ipv4/tcp_allowed_congestion_control',
];

/**
 * Read and check what is asked for; undefined when that is nothing.
 *
 * Throws FieldError, and CniError 7 when there is no interface, or no namespace, that is the container's own to change.
 */
export function parseTuningConfig(request: FeatureRequest): TuningConfig | undefined {
  const parsed = parseFields(request.config, request.key.ifname);
  const config = request.hasOwnInterface ? parsed : withoutInterface(request, parsed);
  const { sysctls, isPromiscuous, isAllMulticast, txQueueLength } = config;
  const asksForNothing = sysctls.length === 0 && !isPromiscuous && !isAllMulticast && txQueueLength === undefined;
  return asksForNothing ? undefined : config;
}

function parseFields({ fields, argsCni }: NetworkConfig, ifname: string): TuningConfig {
  const read = <Key extends keyof typeof TUNING_KEYS>(key: Key) =>
    readKey(argsCni, TUNING_KEYS, key) ?? readKey(fields, TUNING_KEYS, key);
  return {
    sysctls: parseSysctls([fields, argsCni], ifname),
    isPromiscuous: read('promisc') ?? false,
    isAllMulticast: read('allmulti') ?? false,
    txQueueLength: read('txQLen'),
  };
}

/** The settings of all sources, the later ones in place of the earlier ones. */
function parseSysctls(sources: readonly Fields[], ifname: string): SysctlSetting[] {
  const settings = new Map<string, SysctlSetting>();
  for (const source of sources) {
    const given = new Map<string, string>();
    const section = readKey(source, TUNING_KEYS, 'sysctl');
    for (const [text, value] of Object.entries(section?.raw ?? {})) {
      section?.part(() => {
        const path = section.at(text);
        const setting = { text, path, key: parseKey(text, path, ifname), value: parseValue(value, path) };
        const identity = setting.key.join('/');
        const twin = given.get(identity);
        if (twin !== undefined)
          throw new FieldError(path, `is the same sysctl as ${describeValue(twin)}: give it once`);
        given.set(identity, text);
        settings.set(identity, setting);
      });
    }
  }
  return [...settings.values()];
}

/**
 * The parts of "net.ipv4.conf.IFNAME.arp_notify" or "net/ipv4/conf/IFNAME/arp_notify" below /proc/sys/net. What stands
 * between slashes may hold dots; a name with dots is best written as IFNAME.
 */
function parseKey(text: string, path: string, ifname: string): SysctlKey {
  const isPath = text.includes('/') && !text.slice(0, text.indexOf('/')).includes('.');
  const parts = isPath ? text.split('/') : text.replaceAll('/', '.').split('.');
  const isClean = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (parts[0] !== 'net' || parts.length < 2 || !isClean || isSpaced(text)) {
    throw new FieldError(path, 'must be the name of a sysctl below "net", such as "net.ipv4.conf.IFNAME.arp_notify"');
  }
  const key = parts.slice(1);
  const at = key.indexOf('IFNAME');
  if (at >= 0) key[at] = ifname;
  if (NODE_WIDE.includes(key.join('/'))) {
    throw new FieldError(
      path,
      "must be a sysctl of the container's network namespace, and this one is the whole node's",
    );
  }
  return key;
}

/** Whether there is white space or a control character. Regular expressions are for what is not plain ASCII. */
function isSpaced(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20) return true;
    if (code >= 0x7f) return /\s/.test(text) || hasControlCharacter(text);
  }
  return false;
}

function parseValue(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new FieldError(path, `must be a string, is ${describeValue(value)}`);
  if (hasControlCharacter(value.replaceAll('\t', '')))
    throw new FieldError(path, `must be one line of text, is ${describeValue(value)}`);
  return value;
}

/**
 * What is left of a configuration for a mode without an interface of its own: of mode none the sysctls of the namespace,
 * of the others nothing.
 *
 * A configuration that can never be served, and a container that asks for itself, are refused. Where the mode is another
 * than the configuration's own, as of a pod that the operator puts into the host's network, the settings are for the
 * others, like the rest of the entry.
 */
function withoutInterface(request: FeatureRequest, config: TuningConfig): TuningConfig {
  const { mode, isConfigured, sharesNamespace } = request;
  const isForLink = ({ text }: SysctlSetting) => text.split(/[./]/).includes('IFNAME');
  const { fields, argsCni } = request.config;
  const sources = isConfigured ? [fields, argsCni] : [argsCni];
  const asked = sources.flatMap((source) => {
    const links = ['mac', 'promisc', 'allmulti', 'txQLen']
      .filter((name) => source.get(name))
      .map((name) => source.at(name));
    // The entry's own `mtu` is the mode's key.
    if (source === argsCni && source.get('mtu')) links.push(source.at('mtu'));
    const keys = config.sysctls.filter(
      ({ path, ...setting }) =>
        path.startsWith(source.at('sysctl.')) && (sharesNamespace || isForLink({ path, ...setting })),
    );
    return [...links, ...keys.map(({ path }) => path)];
  });
  if (asked.length > 0) {
    const reason = sharesNamespace
      ? 'whose namespace is shared, and nothing in it is changed'
      : 'which has no interface for them';
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      `Conflicting options: ${asked.map((name) => `"${name}"`).join(', ')} and mode "${mode}", ${reason}`,
    );
  }
  return {
    sysctls: sharesNamespace ? [] : config.sysctls.filter((setting) => !isForLink(setting)),
    isPromiscuous: false,
    isAllMulticast: false,
    txQueueLength: undefined,
  };
}
