// `repair`: attachments are again what ADD made of them.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { ruleCountsOf } from '../harness/nftables.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS } from '../harness/operator-command.ts';
import { addPod, checkPod, type Pod } from '../harness/pod.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('repair command');

function twoPods(host: Host): [Pod, Pod] {
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  return [addPod(host, config), addPod(host, config)];
}

test('repair touches nothing that is sound', NO_COMMANDS, (host) => {
  twoPods(host);
  const before = host.snapshot();
  assert.is(mustSay(host, ['repair']), '2 attachments: 2 sound\n');
  mustBeEmpty(host.changesSince(before), 'changed');
});

test('repair makes rules again that somebody has flushed, and says what was wrong', NO_COMMANDS, (host) => {
  const pods = twoPods(host);
  const rules = ruleCountsOf(host.namespace);
  host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'podlink']);
  const text = mustSay(host, ['repair']);
  assert.match(text, /^repaired {2}interface "eth0" of container ".*" in network "pods"$/m);
  assert.match(text, /^ {2}was: .*masquerade/m);
  assert.match(text, /^2 attachments: 2 repaired$/m);
  assert.equal(ruleCountsOf(host.namespace), rules);
  for (const pod of pods) checkPod(host, pod);
});

test('repair makes a deleted bridge again, and the containers reach each other', NO_COMMANDS, (host) => {
  const [one, other] = twoPods(host);
  host.namespace.ip('link', 'del', 'cni0');
  mustSay(host, ['repair']);
  for (const pod of [one, other]) checkPod(host, pod);
  assert.ok(canPing(one.namespace, other.ipv4));
});

test('repair of one container leaves the others as they are', NO_COMMANDS, (host) => {
  const [one, other] = twoPods(host);
  for (const pod of [one, other]) pod.namespace.ip('route', 'del', 'default');
  const [repaired, ...more] = mustTell<{ containerId: string; outcome: string }[]>(host, [
    'repair',
    one.namespace.name,
  ]);
  assert.equal([repaired?.containerId, repaired?.outcome, more], [one.namespace.name, 'repaired', []]);
  checkPod(host, one);
  assert.not.match(other.namespace.ip('route'), /default/);
});

test('repair says what it cannot repair, and ends with 1', NO_COMMANDS, (host) => {
  const [one] = twoPods(host);
  one.namespace.remove();
  const { stdout } = mustEnd(host, ['repair'], 1);
  assert.match(stdout, /^failed {2}interface "eth0"/m);
  assert.match(stdout, /^ {2}left: its network namespace .* is gone/m);
  assert.match(stdout, /^2 attachments: 1 sound, 1 failed$/m);
  assert.match(mustEnd(host, ['repair', 'nobody'], 1).stderr, /no attachment of container "nobody" is on record/);
});

run();
