// Keys of other plugins that promise protection which podlink does not give. An unknown key is ignored, as by the reference
// plugins; one of these in podlink's own entry would leave the operator with an open network that he believes closed.

import type { Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable, read } from '../../protocol/schema.ts';

const BEHIND = 'podlink does not do this: keep the plugin "firewall" behind podlink in the list';

/** A key of any type: what it stands for where it asks for nothing, and what to do instead. */
function unserved(harmless: readonly unknown[], remedy: string) {
  const refuse = (fields: Fields, key: string): void => {
    const value = fields.get(key);
    if (value !== undefined && !harmless.includes(value)) fields.refuse(key, `must not be here: ${remedy}`);
  };
  return { type: 'any', read: refuse, harmless } as const;
}

const UNSERVED_KEYS = {
  // firewall: `open`, its default, keeps nobody out.
  ingressPolicy: unserved(['', 'open'], BEHIND),
  iptablesAdminChainName: unserved([''], BEHIND),
  firewalldZone: unserved([''], BEHIND),
  // vrf
  vrfname: unserved([''], 'podlink does not do this: keep the plugin "vrf" behind podlink in the list'),
  // sriov, and cnis that took it over: on or off.
  spoofchk: unserved(['', 'off', false], 'podlink does this by "macspoofchk": true'),
  // Podman's and Docker's options of a network.
  isolate: unserved(['', false, 'false'], 'podlink does not do this; "internal" and "icc" are near to it'),
} as const satisfies KeyRows;

export const UNSERVED_TABLE = keyTable(UNSERVED_KEYS, () => {
  const allowedOf = (key: keyof typeof UNSERVED_KEYS) => ({ allowed: UNSERVED_KEYS[key].harmless });
  return {
    title: 'Keys that are refused',
    notes: {
      ingressPolicy: {
        about: "The plugin firewall's; `open` is let pass. Keep `firewall` behind podlink in the list.",
        ...allowedOf('ingressPolicy'),
      },
      iptablesAdminChainName: {
        about: "The plugin firewall's. Keep `firewall` behind podlink in the list.",
        ...allowedOf('iptablesAdminChainName'),
      },
      firewalldZone: {
        about: "The plugin firewall's. Keep `firewall` behind podlink in the list.",
        ...allowedOf('firewalldZone'),
      },
      vrfname: { about: "The plugin vrf's. Keep `vrf` behind podlink in the list.", ...allowedOf('vrfname') },
      spoofchk: { about: "The plugin sriov's; `off` is let pass. Use `macspoofchk`.", ...allowedOf('spoofchk') },
      isolate: { about: "Podman's; false is let pass. `internal` and `icc` are near to it.", ...allowedOf('isolate') },
    },
  };
});

/** Throw FieldError for a key that promises what is not kept. ADD alone does: what is attached has to stay removable. */
export function refuseUnservedProtection(fields: Fields): void {
  read(fields, UNSERVED_KEYS);
  // The key is portmap's as well, which refuses it with the first port.
  if (fields.get('backend') === 'firewalld') fields.refuse('backend', `must not be "firewalld": ${BEHIND}`);
}
