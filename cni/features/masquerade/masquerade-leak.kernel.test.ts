// What masquerading must not let out with a container's own address, and what it must: packets of no connection, and
// networks that are excepted.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { masqueradeElements } from './masquerade-elements.ts';
import { MASQUERADE_RULESET } from './masquerade-ruleset.ts';
import { applyElements, checkElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { withWorld, type World } from '../testing/bridged-world.ts';

const test = suite('masquerade leaks in the kernel');

function masquerade(world: World, ...excluded: string[]): void {
  const { key, addresses } = world.attachment('a');
  const state = { rulesets: [MASQUERADE_RULESET], elements: masqueradeElements(addresses, { excluded }) };
  applyElements(world.nft, key, state);
  assert.equal(checkElements(world.nft, key, state), []);
}

function stop(world: World, ...excluded: string[]): void {
  const { key, addresses } = world.attachment('a');
  removeElements(world.nft, ownedBy(key, masqueradeElements(addresses, { excluded })));
}

/** Make container a answer something that the host knows no connection of: its RST to a SYN that was not tracked. */
function provokeInvalid({ outside }: World): void {
  for (const address of ['10.22.0.5', 'fd00:22::5'])
    outside.run(`timeout 0.3 bash -c ': >/dev/tcp/${address}/81' || true`);
}

function doNotTrackIncoming({ host }: World): void {
  host.nft('table inet untracked { chain in { type filter hook prerouting priority raw; iifname out0 notrack; }; }');
}

test('a packet of no connection does not leave with the address of a container', () =>
  withWorld((world) => {
    const { host, outside, a } = world;
    doNotTrackIncoming(world);
    masquerade(world);
    const leaked = outside.watch('ip saddr 10.22.0.5 tcp flags & rst == rst');
    const leakedV6 = outside.watch('ip6 saddr fd00:22::5 tcp flags & rst == rst');
    const received = a.watch('tcp dport 81');
    provokeInvalid(world);
    const came = received();
    assert.ok(came >= 2);
    assert.equal([leaked(), leakedV6()], [0, 0]);
    // Without the rule it does: nat chains never see it.
    host.run('nft flush chain inet podlink forward_masquerade');
    provokeInvalid(world);
    assert.ok(leaked() > 0);
    assert.ok(leakedV6() > 0);
  }));

test('a packet of no connection goes to networks that are excepted, and from containers that are not masqueraded', () =>
  withWorld((world) => {
    const { outside } = world;
    doNotTrackIncoming(world);
    masquerade(world, '192.0.2.0/24', '2001:db8::/32');
    const [seen, seenV6] = ['ip saddr 10.22.0.5', 'ip6 saddr fd00:22::5'].map((from) =>
      outside.watch(`${from} tcp flags & rst == rst`),
    );
    provokeInvalid(world);
    assert.equal([seen?.(), seenV6?.()], [1, 1]);
    stop(world, '192.0.2.0/24', '2001:db8::/32');
    provokeInvalid(world);
    assert.equal([seen?.(), seenV6?.()], [2, 2]);
  }));

test('a container keeps its address towards networks of the list, which may overlap, and towards no other', () =>
  withWorld((world) => {
    const { a, outside, host } = world;
    const OTHERS = ['198.51.100.9', '198.51.7.7', '2001:db8:9::9', '203.0.113.1'];
    outside.ip(...OTHERS.map((address) => `address add ${address} dev lo`));
    host.ip(...OTHERS.map((one) => `route add ${one} via ${one.includes(':') ? '2001:db8::2' : '192.0.2.2'}`));
    masquerade(
      world,
      '198.51.100.0/24',
      '198.51.0.0/16',
      '198.51.100.9/32',
      '10.0.0.0/8',
      '2001:db8:9::/48',
      'fd00::/8',
    );
    for (const [address, from] of [
      ['198.51.100.9', '10.22.0.5'],
      ['198.51.7.7', '10.22.0.5'],
      ['203.0.113.1', '192.0.2.1'],
      ['192.0.2.2', '192.0.2.1'],
      ['2001:db8:9::9', 'fd00:22::5'],
      ['2001:db8::2', '2001:db8::1'],
    ] as const) {
      const ip = address.includes(':') ? 'ip6' : 'ip';
      const seen = outside.watch(`${ip} saddr ${from} ${ip} daddr ${address}`);
      assert.ok(a.reaches(address), address);
      assert.ok(seen() > 0, `${address} from ${from}`);
    }
  }));

test.run();
