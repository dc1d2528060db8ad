// The bridge's own name: rules and sysctls go by it, so an alternative name is refused, and a bridge that was renamed is
// told of.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { podlink } from '../harness/operator-command.ts';
import { addPod, delPod } from '../harness/pod.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases("the bridge's own name");
const FOLLOWS: Reference = { absent: 'rules that go by the name of the bridge' };

function makeBridge(host: Host): void {
  host.namespace.ip('link', 'add', 'br0', 'type', 'bridge');
  host.namespace.ip('link', 'property', 'add', 'dev', 'br0', 'altname', 'pods-bridge');
  host.namespace.ip('link', 'set', 'br0', 'up');
}

/** A bridge that is up keeps its name. */
function rename(host: Host, from: string, to: string): void {
  host.namespace.ip('link', 'set', from, 'down');
  host.namespace.ip('link', 'set', from, 'name', to);
  host.namespace.ip('link', 'set', to, 'up');
}

for (const [title, more] of [
  ['an internal network', { internal: true }],
  ['one without icc', { icc: false, isDefaultGateway: true }],
  [
    'one with ports',
    { isDefaultGateway: true, runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } },
  ],
  ['a plain one', {}],
] as const) {
  test(`an alternative name is refused for ${title}, which names the right one`, FOLLOWS, (host) => {
    makeBridge(host);
    const config = host.config({ bridge: 'pods-bridge', ...more });
    const container = host.addContainer();
    const before = host.snapshot();
    mustRefuse(host, 'ADD', { config, container }, 7, /"bridge": must be the interface's own name, "br0"/);
    mustBeEmpty(host.leftSince(before), 'left');
    mustRefuse(host, 'STATUS', { config: { ...config, cniVersion: '1.1.0' } }, 7, /own name, "br0"/);
    mustPass(host, 'DEL', { config, container });
    addPod(host, { ...config, bridge: 'br0' });
  });
}

test('CHECK says so of a bridge that has the name only as an alternative by now', FOLLOWS, (host) => {
  const pod = addPod(host, host.config({ internal: true }));
  rename(host, 'cni0', 'br0');
  host.namespace.ip('link', 'property', 'add', 'dev', 'br0', 'altname', 'cni0');
  const later = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  mustRefuse(host, 'CHECK', later, 101, /"bridge" must be the interface's own name, "br0": "cni0" is an alternative/);
  delPod(host, pod);
});

test('repair does not make a second bridge in the place of one that was renamed', FOLLOWS, (host) => {
  const pod = addPod(host, host.config({ isDefaultGateway: true, ipMasq: true, internal: true }));
  rename(host, 'cni0', 'renamed');
  const later = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  mustRefuse(host, 'CHECK', later, 101, /bridge "cni0" is gone/);
  const { code, stdout } = podlink(host, ['repair']);
  assert.is(code, 1, stdout);
  assert.match(stdout, /Bridge "cni0" has been renamed to "renamed"/);
  assert.is.not(host.namespace.run('ip', ['link', 'show', 'cni0']).code, 0, 'there is a second bridge');
  rename(host, 'renamed', 'cni0');
  mustPass(host, 'CHECK', later);
});

test('DEL of a container on a renamed bridge takes everything away', FOLLOWS, (host) => {
  const container = host.addContainer('pod');
  const keeper = addPod(host, host.config({ isDefaultGateway: true, ipMasq: true, icc: false, internal: true }));
  const before = host.snapshot();
  const pod = addPod(host, keeper.config, { container });
  rename(host, 'cni0', 'renamed');
  delPod(host, pod);
  rename(host, 'renamed', 'cni0');
  mustBeEmpty(
    host.leftSince(before).filter((line) => /nft|veth|file/.test(line)),
    'left',
  );
});

run();
