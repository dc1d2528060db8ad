// The keys of port mappings: the reference portmap plugin's, Docker's `hostBindingIPv4`, and an entry of the capability.

import { addressFamily, mappedHint } from '../../protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable } from '../../protocol/schema.ts';

export const MAX_PORT = 65535;

/** Where mappings listen: read whether there are any or not. */
export const BINDING_KEYS = {
  hostBindingIPv4: { type: 'string', read: hostBindingAt },
} as const satisfies KeyRows;

/** How ports are mapped: read only once there is one. */
export const PORTMAP_KEYS = {
  conditionsV4: { type: 'strings', read: noConditionsAt },
  conditionsV6: { type: 'strings', read: noConditionsAt },
  backend: { type: 'string', words: ['iptables', 'nftables', ''] },
  externalSetMarkChain: { type: 'string' },
  markMasqBit: { type: 'integer', min: 0, max: 31 },
  snat: { type: 'boolean', default: true },
  masqAll: { type: 'boolean', default: false },
} as const satisfies KeyRows;

/** One entry of `runtimeConfig.portMappings`. */
export const MAPPING_KEYS = {
  hostPort: { type: 'integer', min: 0, max: MAX_PORT, default: 0 },
  containerPort: { type: 'integer', min: 1, max: MAX_PORT },
} as const satisfies KeyRows;

const AS_REFERENCE = 'Taken as the reference portmap knows it';
const NO_CONDITIONS = 'Refused: a condition keeps somebody out, and without it they would get in.';

export const PORTMAP_TABLE = keyTable({ ...BINDING_KEYS, ...PORTMAP_KEYS }, () => ({
  title: 'Published ports',
  needs: 'hasOwnInterface',
  notes: {
    hostBindingIPv4: {
      about: 'Where a mapping without `hostIP` listens; 0.0.0.0 stands for all addresses, those of IPv6 too.',
      otherwise: '`0.0.0.0`',
      pattern: '^([0-9]{1,3}(\\.[0-9]{1,3}){3})?$',
      capability: 'portMappings',
    },
    snat: { about: 'Let localhost and the container itself use the ports.', capability: 'portMappings' },
    masqAll: { about: 'Show the container the host as every client.', capability: 'portMappings' },
    conditionsV4: { about: NO_CONDITIONS, capability: 'portMappings', allowed: [[]] },
    conditionsV6: { about: NO_CONDITIONS, capability: 'portMappings', allowed: [[]] },
    backend: { about: `${AS_REFERENCE}; nftables does the work whatever it says.`, capability: 'portMappings' },
    markMasqBit: { about: `${AS_REFERENCE}, and without meaning here.`, capability: 'portMappings' },
    externalSetMarkChain: { about: `${AS_REFERENCE}, and without meaning here.`, capability: 'portMappings' },
  },
  capabilities: {
    portMappings: {
      about: 'The ports to publish: `hostPort`, `containerPort`, `protocol` (tcp, udp, sctp), `hostIP`.',
      kernel: 'ports',
    },
  },
}));

/** As in Docker, 0.0.0.0 stands for all addresses, those of IPv6 too, and any other address for itself alone. */
function hostBindingAt(fields: Fields, key: string): string | undefined {
  const text = fields.string(key) || undefined;
  if (text === undefined) return undefined;
  if (addressFamily(text) !== 4) {
    throw new FieldError(fields.at(key), `must be an IPv4 address, is ${describeValue(text)}${mappedHint(text)}`);
  }
  return text === '0.0.0.0' ? undefined : text;
}

/** A condition keeps somebody out: to leave it away would let them in. */
function noConditionsAt(fields: Fields, key: string): void {
  if ((fields.strings(key) ?? []).length === 0) return;
  throw new FieldError(fields.at(key), 'must be empty: podlink maps ports without further conditions');
}
