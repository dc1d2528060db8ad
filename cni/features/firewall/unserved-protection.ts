// Keys of other plugins that promise protection which podlink does not give. An unknown key is ignored, as by the reference
// plugins; one of these in podlink's own entry would leave the operator with an open network that he believes closed.

import { FieldError, type Fields } from '../../protocol/fields.ts';

const BEHIND = 'podlink does not do this: keep the plugin "firewall" behind podlink in the list';

/** The key, what it stands for where it asks for nothing, and what to do instead. */
const KEYS: readonly { readonly key: string; readonly harmless: readonly unknown[]; readonly remedy: string }[] = [
  // firewall: `open`, its default, keeps nobody out.
  { key: 'ingressPolicy', harmless: ['', 'open'], remedy: BEHIND },
  { key: 'iptablesAdminChainName', harmless: [''], remedy: BEHIND },
  { key: 'firewalldZone', harmless: [''], remedy: BEHIND },
  // vrf
  {
    key: 'vrfname',
    harmless: [''],
    remedy: 'podlink does not do this: keep the plugin "vrf" behind podlink in the list',
  },
  // sriov, and cnis that took it over: on or off.
  { key: 'spoofchk', harmless: ['', 'off', false], remedy: 'podlink does this by "macspoofchk": true' },
  // Podman's and Docker's options of a network.
  {
    key: 'isolate',
    harmless: ['', false, 'false'],
    remedy: 'podlink does not do this; "internal" and "icc" are near to it',
  },
];

/** Throw FieldError for a key that promises what is not kept. ADD alone does: what is attached has to stay removable. */
export function refuseUnservedProtection(fields: Fields): void {
  for (const { key, harmless, remedy } of KEYS) {
    const value = fields.get(key);
    if (value === undefined || harmless.includes(value)) continue;
    throw new FieldError(fields.at(key), `must not be here: ${remedy}`);
  }
  // The key is portmap's as well, which refuses it with the first port.
  if (fields.get('backend') === 'firewalld') {
    throw new FieldError(fields.at('backend'), `must not be "firewalld": ${BEHIND}`);
  }
}
