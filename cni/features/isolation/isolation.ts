// Isolation, named after Docker's options of a bridge network.
//
// `icc: false`: the containers of the bridge do not reach each other. Bridge mode isolates their ports from each other;
// this feature sees to it that they do not get there by way of the host either (see isolation-ruleset.ts). The host
// reaches them and they the host, other networks reach them as before, and each reaches itself through its own published
// port (but for hosts that pass bridged packets through the IP hooks: there the kernel bridges such a packet, and the
// port is isolated from itself, too). All networks of a bridge have to say it: containers of one that does not can talk
// to them.
//
// `internal: true`: no way out of the bridge, and none into it. The containers reach each other and the host's address
// on the bridge, and the host reaches them. A port that one of them publishes answers on this host and on this bridge
// alone. An address that a container takes without having been given it can be sent to from outside, but nothing it
// answers gets there.

import { encodeAddress, encodeMac } from '../../kernel/netlink/address-bytes.ts';
import { familyOf, splitCidr } from '../../address/ip.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { encodeInterfaceName, encodeKey } from '../../kernel/nftables/key.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { FieldError, type Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable, read } from '../../protocol/schema.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { Feature, FeatureRequest } from '../feature.ts';
import { INTERNAL_MACS, ISOLATION_RULESET, ISOLATION_V4, ISOLATION_V6 } from './isolation-ruleset.ts';

const ISOLATION_KEYS = {
  icc: { type: 'boolean', default: true },
  internal: { type: 'boolean', default: false },
} as const satisfies KeyRows;

const ISOLATION_TABLE = keyTable(ISOLATION_KEYS, () => ({
  title: 'Isolation',
  needs: 'hasBridge',
  notes: {
    icc: { about: 'False: containers on this bridge do not reach each other.', kernel: 'filtering' },
    internal: {
      about: 'No way out of this bridge, and none into it; the host itself is reached.',
      kernel: 'internal networks',
    },
  },
}));

export interface Isolation {
  /** Containers of the bridge do not reach each other. */
  readonly withoutIcc: boolean;
  readonly internal: boolean;
}

export const isolationFeature: Feature = {
  name: 'isolation',
  keys: ISOLATION_TABLE,
  rulesets: [ISOLATION_RULESET],
  plan(request) {
    const isolation = parseIsolation(request.config.fields);
    if (!request.hasOwnInterface || !(isolation.withoutIcc || isolation.internal)) return undefined;
    requireBridgeMode(request, isolation.internal ? 'internal' : 'icc');
    if (isolation.internal) warnOfFutility(request);
    return {
      nftables: (attachment) => ({
        rulesets: [ISOLATION_RULESET],
        elements: isolationElements(attachment, isolation),
      }),
    };
  },
};

/** Read what the configuration says of isolation. Throws FieldError. */
export function parseIsolation(fields: Fields): Isolation {
  const { icc, internal } = read(fields, ISOLATION_KEYS);
  return { withoutIcc: !icc, internal };
}

/** Refuse a key for a mode with an interface of its own but no bridge. Throws FieldError. */
export function requireBridgeMode({ mode, hasBridge }: FeatureRequest, key: string): void {
  if (!hasBridge) throw new FieldError(key, `can be ${key !== 'icc'} only in mode "bridge", not in "${mode}"`);
}

/** Say which keys of the configuration come to nothing without a way out. */
function warnOfFutility({ config, warn }: FeatureRequest): void {
  const { fields, runtimeConfig } = config;
  if (fields.boolean('ipMasq')) warn('"ipMasq" has no effect with "internal": true: nothing leaves the bridge');
  if (fields.boolean('isDefaultGateway')) {
    warn('"isDefaultGateway" gives a route that leads nowhere with "internal": true: connections time out');
  }
  if ((runtimeConfig.list('portMappings') ?? []).length > 0) {
    warn('"runtimeConfig.portMappings" answer on this host and its bridge alone, because of "internal": true');
  }
}

/** The elements of an attachment. Throws TypeError for one that is on no bridge. */
export function isolationElements(attachment: AttachedInterface, { withoutIcc, internal }: Isolation): Element[] {
  const { mac, addresses } = attachment;
  if (attachment.gateway === undefined || mac === undefined) {
    throw new TypeError('Cannot isolate an attachment without a bridge');
  }
  const gateway = encodeInterfaceName(attachment.gateway);
  const ether = encodeMac(mac);
  const hosts = new Set(addresses.map((cidr) => splitCidr(cidr).address));
  return [
    ...[...hosts].flatMap((host) => {
      const sets = familyOf(host) === 4 ? ISOLATION_V4 : ISOLATION_V6;
      const address = encodeAddress(host);
      return [
        ...(withoutIcc
          ? [
              elementOf(sets.icc, gateway, address),
              elementOf(sets.self, address, ether, address),
              elementOf(sets.direct, address, ether),
            ]
          : []),
        ...(internal ? [elementOf(sets.internal, gateway, address)] : []),
      ];
    }),
    ...(internal ? [elementOf(INTERNAL_MACS, gateway, ether)] : []),
  ];
}

function elementOf(set: NamedSet, ...fields: readonly Uint8Array[]): Element {
  return { set, key: encodeKey(set.key, fields) };
}
