// Containers of a VLAN and its gateway, on hosts that pass bridged packets through the hooks of IP: without this neither
// masquerading nor mapped ports nor services work by way of the gateway (bridged-gateway-ruleset.ts has the reason). No key
// asks for it: a network with `vlan` and a gateway has it.

import { encodeMac } from '../../kernel/netlink/address-bytes.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { encodeInterfaceName, encodeKey } from '../../kernel/nftables/key.ts';
import { BRIDGED_GATEWAY, BRIDGED_GATEWAY_RULESET } from './bridged-gateway-ruleset.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { Feature } from '../feature.ts';

const MAX_VLAN_ID = 4094;

export const bridgedGatewayFeature: Feature = {
  name: 'bridged-gateway',
  rulesets: [BRIDGED_GATEWAY_RULESET],
  plan({ config: { fields }, hasBridge }) {
    const isGateway = fields.boolean('isGateway') || fields.boolean('isDefaultGateway');
    const vlan = fields.integer('vlan', 0, MAX_VLAN_ID) ?? 0;
    if (!hasBridge || !isGateway || vlan === 0) return undefined;
    return {
      nftables: (attachment) => ({
        rulesets: [BRIDGED_GATEWAY_RULESET],
        elements: bridgedGatewayElements(attachment),
      }),
    };
  },
};

/** The elements of an attachment; none when an address is not known. */
export function bridgedGatewayElements({ bridge, mac, gatewayMac }: AttachedInterface): Element[] {
  if (bridge === undefined || mac === undefined || gatewayMac === undefined) return [];
  const fields = [encodeInterfaceName(bridge), encodeMac(mac), encodeMac(gatewayMac)];
  return [{ set: BRIDGED_GATEWAY, key: encodeKey(BRIDGED_GATEWAY.key, fields) }];
}
