// The check of MAC addresses (`macspoofchk`): what a container sends with another source than its own MAC is dropped
// when it comes to the bridge. `internal` needs it too: it knows its containers by their MACs.
//
// One thing is set for the bridge as a whole, and stays like the bridge itself: it no longer learns MACs from link-local
// frames, which pass by all rules. Nothing else depends on it, such frames come from switches and not from containers.

import { diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { encodeMac } from '../../kernel/netlink/address-bytes.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { encodeInterfaceName, encodeKey } from '../../kernel/nftables/key.ts';
import { hasLinkLocalLearning, setLinkLocalLearning } from '../../kernel/rtnetlink/link/bridge-learning.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { type KeyRows, keyTable, readKey } from '../../protocol/schema.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { Feature } from '../feature.ts';
import { parseIsolation, requireBridgeMode } from './isolation.ts';
import { MACSPOOF_MACS, MACSPOOF_PORTS, MACSPOOF_RULESET } from './macspoof-ruleset.ts';

const MACSPOOF_KEYS = { macspoofchk: { type: 'boolean', default: false } } as const satisfies KeyRows;

const MACSPOOF_TABLE = keyTable(MACSPOOF_KEYS, () => ({
  title: 'Isolation',
  needs: 'hasBridge',
  notes: {
    macspoofchk: {
      about: 'Drop what a container sends with another MAC address than its own, ARP included.',
      kernel: 'frames',
    },
  },
}));

export const macspoofFeature: Feature = {
  name: 'macspoof',
  keys: MACSPOOF_TABLE,
  rulesets: [MACSPOOF_RULESET],
  plan(request) {
    const { fields } = request.config;
    const isAskedFor = readKey(fields, MACSPOOF_KEYS, 'macspoofchk');
    const { internal } = parseIsolation(fields);
    if (!request.hasOwnInterface || !(isAskedFor || internal)) return undefined;
    requireBridgeMode(request, isAskedFor ? 'macspoofchk' : 'internal');
    return {
      apply: ({ host, bridge }) => {
        const link = findLink(host.route, bridge ?? '');
        if (link && hasLinkLocalLearning(link)) setLinkLocalLearning(host.route, link, false);
      },
      check: ({ host, bridge }) => {
        const link = findLink(host.route, bridge ?? '');
        return link && hasLinkLocalLearning(link) ? [diagnose('bridge-learns-link-local', { subject: link.name })] : [];
      },
      nftables: (attachment) => ({ rulesets: [MACSPOOF_RULESET], elements: macspoofElements(attachment) }),
    };
  },
};

/** The elements of an attachment. Throws TypeError for one that is on no bridge. */
export function macspoofElements({ hostInterface, mac }: AttachedInterface): Element[] {
  if (hostInterface === undefined || mac === undefined) {
    throw new TypeError('Cannot check the MAC of an attachment without a port');
  }
  const port = encodeInterfaceName(hostInterface);
  return [
    { set: MACSPOOF_PORTS, key: encodeKey(MACSPOOF_PORTS.key, [port]) },
    { set: MACSPOOF_MACS, key: encodeKey(MACSPOOF_MACS.key, [port, encodeMac(mac)]) },
  ];
}
