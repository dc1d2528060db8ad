// Masquerading (`ipMasq`): what a container sends to other networks carries an address of the host.

import type { Fields } from '../../protocol/fields.ts';
import { type KeyValues, read } from '../../protocol/schema.ts';
import type { Feature } from '../feature.ts';
import { masqueradeElements } from './masquerade-elements.ts';
import { MASQUERADE_KEYS, MASQUERADE_TABLE } from './masquerade-keys.ts';
import { MASQUERADE_RULESET } from './masquerade-ruleset.ts';

export const masqueradeFeature: Feature = {
  name: 'masquerade',
  keys: MASQUERADE_TABLE,
  rulesets: [MASQUERADE_RULESET],
  plan({ config: { fields }, hasOwnInterface, warn }) {
    const { ipMasq, ipMasqExclude, masqueradeRandom } = parseMasquerade(fields, warn);
    if (masqueradeRandom && !ipMasq) warn('"masqueradeRandom" has no effect without "ipMasq": true');
    if (!ipMasq || !hasOwnInterface) return undefined;
    return {
      nftables: ({ addresses }) => ({
        rulesets: [MASQUERADE_RULESET],
        elements: masqueradeElements(addresses, { excluded: ipMasqExclude, isRandom: masqueradeRandom }),
      }),
    };
  },
};

/** Read what the configuration says of masquerading: nftables does it, whatever `ipMasqBackend` is. Throws FieldError. */
export function parseMasquerade(fields: Fields, warn: (message: string) => void): KeyValues<typeof MASQUERADE_KEYS> {
  const values = read(fields, MASQUERADE_KEYS);
  const { ipMasq, ipMasqBackend } = values;
  if (ipMasq && ipMasqBackend === 'iptables') {
    warn(`"${fields.at('ipMasqBackend')}" is "iptables", but masquerading is done with nftables`);
  }
  return values;
}
