// The check of MAC addresses with real frames: container a writes b's MAC, in every place where the check looks.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkRuleset, hasAllRules } from '../../kernel/nftables/ruleset.ts';
import { openNetns } from '../../kernel/netns.ts';
import { setLinkLocalLearning } from '../../kernel/rtnetlink/link/bridge-learning.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { isolationElements } from './isolation.ts';
import { ISOLATION_RULESET } from './isolation-ruleset.ts';
import { macspoofElements, macspoofFeature } from './macspoof.ts';
import { MACSPOOF_RULESET } from './macspoof-ruleset.ts';
import { applyElements, checkElements, diagnoseFault, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { type Machine, PODS, withWorld, type World } from '../testing/bridged-world.ts';
import { connected } from '../testing/connected.ts';

const test = suite('macspoof in the kernel');

/** Do what an ADD with `"macspoofchk": true` does for container a. */
function check(world: World): void {
  const attachment = world.attachment('a');
  const plan = macspoofFeature.plan({
    key: attachment.key,
    config: parseNetworkConfig('{"name": "n", "macspoofchk": true}'),
    cniArgs: new Map(),
    mode: 'bridge',
    isConfigured: true,
    hasOwnInterface: true,
    hasBridge: true,
    sharesNamespace: false,
    warn: () => undefined,
  });
  const sandbox = openNetns(`/run/netns/${world.a.name}`);
  try {
    const made = connected(attachment, { route: world.route, runDir: '', warn: () => undefined }, sandbox);
    assert.is(plan?.check?.(made).length, 1);
    plan?.apply?.(made, {});
    assert.equal(plan?.check?.(made), []);
  } finally {
    sandbox.close();
  }
  const state = plan?.nftables?.(attachment);
  assert.ok(state);
  applyElements(world.nft, attachment.key, state);
  assert.equal(checkElements(world.nft, attachment.key, state), []);
}

function stopChecking(world: World): void {
  const attachment = world.attachment('a');
  removeElements(world.nft, ownedBy(attachment.key, macspoofElements(attachment)));
}

function takeMac(machine: Machine, mac: string): void {
  machine.ip('link set eth0 down', `link set eth0 address ${mac}`, 'link set eth0 up');
}

/** The port that the bridge would send to if it had a frame for b. */
function portOfB({ host }: World): string | undefined {
  const entry = host.run('bridge fdb show br br0').match(new RegExp(`^${PODS.b.mac} dev (\\w+)`, 'm'));
  return entry?.[1];
}

test('a container with its own MAC is not hindered, IPv4, IPv6 and ARP', () =>
  withWorld((world) => {
    const { a, b } = world;
    check(world);
    for (const address of ['10.22.0.1', '10.22.0.6', 'fd00:22::1', 'fd00:22::6', '192.0.2.2']) {
      assert.ok(a.reaches(address), address);
    }
    b.ip('neighbour flush dev eth0');
    assert.ok(b.reaches('10.22.0.5'));
    assert.ok(b.reaches('fd00:22::5'));
  }));

test('frames with another MAC go nowhere, and the bridge does not believe them', () =>
  withWorld((world) => {
    const { host, a, b } = world;
    assert.ok(b.reaches('10.22.0.1'));
    assert.is(portOfB(world), 'vethb');
    check(world);
    takeMac(a, PODS.b.mac);
    const seen = [host, b].map((machine) => machine.watch('ip saddr 10.22.0.5'));
    const seenV6 = [host, b].map((machine) => machine.watch('ip6 saddr fd00:22::5'));
    const send = () => {
      a.ip('neighbour replace 10.22.0.6 lladdr 02:00:00:00:00:06 dev eth0');
      for (const address of ['10.22.0.1', '10.22.0.6', 'fd00:22::1', 'fd00:22::6']) a.sendPing(address);
    };
    send();
    assert.equal(
      [...seen, ...seenV6].map((count) => count()),
      [0, 0, 0, 0],
    );
    assert.is(portOfB(world), 'vethb');
    stopChecking(world);
    send();
    assert.ok((seen[0]?.() ?? 0) > 0);
  }));

test('a container that is not checked may do as it likes', () =>
  withWorld((world) => {
    check(world);
    takeMac(world.b, '02:00:00:00:00:66');
    assert.ok(world.b.reaches('10.22.0.1'));
  }));

test('frames to link-local groups do not teach the bridge another MAC', () =>
  withWorld((world) => {
    const { a, b, route } = world;
    assert.ok(b.reaches('10.22.0.1'));
    const send = () => {
      // 802.1X, which netfilter sees at its input hook, and LLDP, which it does not see.
      for (const last of ['03', '0e']) {
        a.ip(`neighbour replace 10.22.0.200 lladdr 01:80:c2:00:00:${last} dev eth0 nud permanent`);
        a.sendUdp('10.22.0.200', 9);
      }
    };
    check(world);
    takeMac(a, PODS.b.mac);
    send();
    assert.is(portOfB(world), 'vethb');
    // The rules alone do not do it.
    const bridge = findLink(route, 'br0');
    assert.ok(bridge);
    setLinkLocalLearning(route, bridge, true);
    send();
    assert.is(portOfB(world), 'vetha');
  }));

test('ARP in the name of another MAC does not get through', () =>
  withWorld((world) => {
    const { host, a } = world;
    a.nft(
      `table arp liar { chain out { type filter hook output priority filter; arp saddr ether set ${PODS.b.mac}; }; }`,
    );
    const heard = (): string => {
      a.ip('neighbour flush dev eth0');
      host.ip('neighbour flush dev br0');
      a.sendPing('10.22.0.1');
      return host.run('sleep 0.05; ip neighbour show 10.22.0.5 dev br0');
    };
    assert.match(heard(), new RegExp(`lladdr ${PODS.b.mac}`));
    check(world);
    host.run('ip neighbour del 10.22.0.5 dev br0');
    assert.not.match(heard(), PODS.b.mac);
    a.nft('delete table arp liar');
    assert.ok(a.reaches('10.22.0.1'));
  }));

test('an ADD brings back the rules that somebody has flushed, in the bridge table as in the other', () =>
  withWorld((world) => {
    const { host, a, nft } = world;
    check(world);
    assert.ok(hasAllRules(nft, [MACSPOOF_RULESET]));
    host.run('nft flush chain bridge podlink macspoof_port');
    assert.equal(sentencesOf(checkRuleset(nft, MACSPOOF_RULESET).map(diagnoseFault)), [
      'the rules of chain macspoof_port of table bridge podlink are not as they were made',
    ]);
    const b = world.attachment('b');
    applyElements(nft, b.key, {
      rulesets: [ISOLATION_RULESET, MACSPOOF_RULESET],
      elements: [...isolationElements(b, { withoutIcc: true, internal: true }), ...macspoofElements(b)],
    });
    assert.equal(
      [ISOLATION_RULESET, MACSPOOF_RULESET].flatMap((ruleset) => checkRuleset(nft, ruleset)),
      [],
    );
    const seen = host.watch('ip saddr 10.22.0.5');
    takeMac(a, '02:00:00:00:00:66');
    a.sendPing('10.22.0.1');
    assert.is(seen(), 0);
  }));

test('nft shows the rules as this project does', () =>
  withWorld((world) => {
    check(world);
    const list = world.host.run('nft -s list table bridge podlink').replace(/ comment "[^"]*"/g, '');
    const chains = list.slice(list.indexOf('\tchain')).replaceAll(/\n\n|\t/g, '\n');
    assert.equal(
      chains.split('\n').filter((line) => line !== ''),
      [
        'chain macspoof_payload {',
        'meta protocol != arp return',
        'iifname . arp saddr ether @macspoof_macs return',
        'drop',
        '}',
        'chain macspoof_port {',
        'iifname . ether saddr @macspoof_macs goto macspoof_payload',
        'drop',
        '}',
        'chain prerouting_macspoof {',
        'type filter hook prerouting priority dstnat; policy accept;',
        'iifname @macspoof_ports goto macspoof_port',
        '}',
        '}',
      ],
    );
    assert.match(list, /elements = \{ "vetha" . 02:00:00:00:00:05/);
  }));

test.run();
