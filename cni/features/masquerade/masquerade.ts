// Masquerading (`ipMasq`): what a container sends to other networks carries an address of the host.

import type { Fields } from '../../protocol/fields.ts';
import type { Feature } from '../feature.ts';
import { masqueradeElements, parseMasqueradeExclusions } from './masquerade-elements.ts';
import { MASQUERADE_RULESET } from './masquerade-ruleset.ts';

export const masqueradeFeature: Feature = {
  name: 'masquerade',
  rulesets: [MASQUERADE_RULESET],
  plan({ config, hasOwnInterface, warn }) {
    const excluded = parseMasqueradeExclusions(config.fields);
    const isWanted = parseMasquerade(config.fields, warn);
    const isRandom = config.fields.boolean('masqueradeRandom') ?? false;
    if (isRandom && !isWanted) warn('"masqueradeRandom" has no effect without "ipMasq": true');
    if (!isWanted || !hasOwnInterface) return undefined;
    return {
      nftables: ({ addresses }) => ({
        rulesets: [MASQUERADE_RULESET],
        elements: masqueradeElements(addresses, { excluded, isRandom }),
      }),
    };
  },
};

/**
 * Whether the configuration asks for masquerading. Throws FieldError.
 *
 * `ipMasqBackend` is accepted as the reference plugins know it; nftables does the work for both of its values.
 */
export function parseMasquerade(fields: Fields, warn: (message: string) => void): boolean {
  const isWanted = fields.boolean('ipMasq') ?? false;
  const backend = fields.oneOf('ipMasqBackend', ['iptables', 'nftables', '']);
  if (isWanted && backend === 'iptables') {
    warn(`"${fields.at('ipMasqBackend')}" is "iptables", but masquerading is done with nftables`);
  }
  return isWanted;
}
