// The traffic between a container and its gateway is not tracked by the interface that the rules name, all else is. Here
// the gateway is the bridge itself, so that a kernel without VLAN filtering can be asked; a VLAN's, with traffic through
// NAT, is the business of the conformance cases.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkRuleset, hasAllRules } from '../../kernel/nftables/ruleset.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { bridgedGatewayElements } from './bridged-gateway.ts';
import { BRIDGED_GATEWAY_RULESET } from './bridged-gateway-ruleset.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import { applyElements, checkElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { addressesOf, OUTSIDE, withWorld, type World } from '../testing/bridged-world.ts';

const test = suite('bridged gateway in the kernel');

function attachmentOf({ route, attachment }: World): AttachedInterface {
  const gateway = findLink(route, 'br0');
  if (!gateway) throw new Error('no bridge');
  return { ...attachment('a'), gatewayMac: gateway.mac };
}

/** The connections that the host has learnt of since it last forgot all, from an address. */
function connectionsFrom({ host }: World, address: string): number {
  return host.run(`conntrack -L -s ${address} 2>/dev/null | wc -l; conntrack -F >/dev/null 2>&1`).trim() === '0'
    ? 0
    : 1;
}

function pingOutside(world: World, name: 'a' | 'b'): number[] {
  return OUTSIDE.map((address, i) => {
    assert.ok(world[name].reaches(address), `${name} does not reach ${address}`);
    const own = addressesOf(name)[i] ?? '';
    const family = own.includes(':') ? '-f ipv6 ' : '';
    return connectionsFrom(world, `${own} ${family}`);
  });
}

test('packets between a container and its gateway are untracked, those of its neighbour are not', () =>
  withWorld((world) => {
    const attachment = attachmentOf(world);
    const state = { rulesets: [BRIDGED_GATEWAY_RULESET], elements: bridgedGatewayElements(attachment) };
    // Connection tracking is only there where a rule asks for it.
    world.host.nft('table inet track { chain c { type filter hook forward priority 0; ct state new counter; }; }');
    assert.equal(pingOutside(world, 'a'), [1, 1]);
    applyElements(world.nft, attachment.key, state);
    assert.equal(checkRuleset(world.nft, BRIDGED_GATEWAY_RULESET), []);
    assert.ok(hasAllRules(world.nft, [BRIDGED_GATEWAY_RULESET]));
    assert.equal(checkElements(world.nft, attachment.key, state), []);
    assert.equal(pingOutside(world, 'a'), [0, 0]);
    assert.equal(pingOutside(world, 'b'), [1, 1]);
    removeElements(world.nft, ownedBy(attachment.key, state.elements));
    assert.equal(pingOutside(world, 'a'), [1, 1]);
  }));

test('by another interface the same addresses are tracked: the rules are about the bridge', () =>
  withWorld((world) => {
    const attachment = attachmentOf(world);
    const elements = bridgedGatewayElements({ ...attachment, bridge: 'br1' });
    world.host.nft('table inet track { chain c { type filter hook forward priority 0; ct state new counter; }; }');
    applyElements(world.nft, attachment.key, { rulesets: [BRIDGED_GATEWAY_RULESET], elements });
    assert.equal(pingOutside(world, 'a'), [1, 1]);
  }));

test.run();
