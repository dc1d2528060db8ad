// Where the reference plugins are known to leak, to race or to mix things up, and no other case looks. Each title names the
// weakness; the issues are those of containernetworking/plugins and containernetworking/cni.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour, mustBeAsBefore, networkInUse } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config, ErrorDocument } from '../harness/document.ts';
import { findFaultPoints, isQuestion } from '../harness/fault.ts';
import { leftOf, setFaultScene } from '../harness/fault-scene.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementsOf, ruleCountsOf } from '../harness/nftables.ts';
import { findLink, linksOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, resultOf, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('known weaknesses');
const OURS: Reference = { absent: 'what makes it right' };

function ports(config: Config, hostPort: number): Config {
  return { ...config, runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: 'tcp' }] } };
}

/** A network in use on which a port was mapped before, so that the rules for it are there. */
function networkWithPorts(host: Host): { config: Config; neighbour: Namespace } {
  const network = networkInUse(host);
  const invocation = { config: ports(network.config, 7000), container: host.addContainer('first') };
  mustAdd(host, invocation);
  mustPass(host, 'DEL', invocation);
  return network;
}

function limits(config: Config): Config {
  return { ...config, runtimeConfig: { bandwidth: { egressRate: 8_000_000, egressBurst: 800_000 } } };
}

test(
  'DEL of a container that is gone makes nothing at the path of its namespace (sbr made an empty file)',
  'same',
  (host) => {
    const config = host.config();
    const path = join(host.folder, 'netns', 'gone');
    mkdirSync(join(host.folder, 'netns'));
    mustPass(host, 'DEL', { config, containerId: 'gone', netns: path });
    assert.not(existsSync(path));
  },
);

test(
  'DEL needs no runtimeConfig: ports, limits and addresses go without it (portmap leaves its rules)',
  OURS,
  (host) => {
    const { config } = networkWithPorts(host);
    const pod = host.addContainer('pod');
    const before = host.snapshot();
    const { runtimeConfig } = limits(config);
    const added = ports(config, 8000);
    mustAdd(host, {
      config: { ...added, runtimeConfig: { ...(added.runtimeConfig as object), ...(runtimeConfig as object) } },
      container: pod,
    });
    mustPass(host, 'DEL', { config, container: pod, netns: '' });
    mustBeAsBefore(host, { pod, before });
  },
);

for (const [what, prevResult] of [
  ['null', null],
  ['an empty object', {}],
  ['a word', 'torn'],
  ['a list', []],
  ['one of another version', { cniVersion: '0.2.0', ip4: { ip: '10.77.0.3/24' } }],
  ["another container's", { cniVersion: '1.0.0', interfaces: [{ name: 'cni0' }], ips: [{ address: '10.77.0.2/24' }] }],
] as const) {
  test(`DEL with a prevResult that is ${what} removes this container and no other (cni#1055)`, OURS, (host) => {
    const attached = attachBesideNeighbour(host);
    mustPass(host, 'DEL', { config: { ...attached.config, prevResult }, container: attached.pod });
    mustBeAsBefore(host, attached);
  });
}

test('the original of a setting outlives a repeated ADD (tuning overwrites its backup)', OURS, (host) => {
  const scene = setFaultScene(host);
  mustAdd(host, scene.invocation);
  mustRefuse(host, 'ADD', scene.invocation, 102, /attached already/);
  mustPass(host, 'DEL', scene.invocation);
  assert.is(leftOf(scene), undefined);
});

test(
  'ADD that is terminated, as a runtime does that has waited too long, leaves nothing that DEL does not find',
  OURS,
  (host) => {
    const scene = setFaultScene(host);
    const points = findFaultPoints(host, 'ADD', scene.invocation).filter((point) => !isQuestion(point));
    mustPass(host, 'DEL', scene.invocation);
    // The kills of 600 are at each call; a signal that could be caught is no different, so a few will do.
    for (const { call, path, n } of points.filter((_, i) => i % 9 === 0)) {
      const only = path === undefined ? [] : ['-P', path];
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGTERM:when=${n}`];
      const outcome = host.invoke('ADD', {
        ...scene.invocation,
        under: ['strace', '-f', '-qq', '-o', '/dev/null', ...only, ...inject],
      });
      assert.is.not(outcome.code, 0, `ADD goes on after SIGTERM at ${call} ${n}`);
      mustPass(host, 'DEL', scene.invocation);
      assert.is(leftOf(scene), undefined, `${call} ${n}`);
    }
  },
);

test(
  'eight first ADDs at once, all with ports: every rule is there once (portmap and firewall leave duplicates)',
  OURS,
  async (host) => {
    const alone = host.config({ isDefaultGateway: true, ipMasq: true });
    const pods = Array.from({ length: 8 }, () => host.addContainer());
    const outcomes = await Promise.all(
      pods.map((container, i) => host.start('ADD', { config: ports(alone, 8000 + i), container })),
    );
    for (const outcome of outcomes) resultOf(outcome, alone);
    const atOnce = ruleCountsOf(host.namespace);
    for (const [i, container] of pods.entries()) mustPass(host, 'DEL', { config: ports(alone, 8000 + i), container });
    assert.equal(elementsOf(host.namespace), []);
    host.namespace.mustRun('nft', ['flush', 'ruleset']);
    mustAdd(host, { config: ports(alone, 8000), container: host.addContainer() });
    assert.equal(atOnce, ruleCountsOf(host.namespace), 'as many rules as one ADD makes');
  },
);

test(
  'names are not run together: ("ab", "c") and ("a", "bc") have each their own (hashes have no separator)',
  OURS,
  (host) => {
    const one = { ...host.config(), name: 'ab' };
    const other = {
      ...host.config(),
      name: 'a',
      ipam: host.hostLocal(['10.78.0.0/24']),
      bridge: 'cni1',
      isGateway: true,
    };
    const [first, second] = [host.addContainer(), host.addContainer()];
    const before = host.snapshot();
    mustAdd(host, { config: limits(one), container: first, containerId: 'c' });
    mustAdd(host, { config: limits(other), container: second, containerId: 'bc' });
    mustPass(host, 'DEL', { config: limits(one), container: first, containerId: 'c' });
    assert.ok(findLink(second, 'eth0'), "the other's stays");
    assert.ok(canPing(second, '10.78.0.1'));
    assert.is(linksOf(host.namespace).filter(({ ifname }) => ifname.startsWith('ifb')).length, 1);
    mustPass(host, 'DEL', { config: limits(other), container: second, containerId: 'bc' });
    mustBeEmpty(
      host.leftSince(before).filter((line) => !/cni1/.test(line)),
      'left',
    );
  },
);

test(
  'two interfaces of one container, both limited and with ports: DEL of one leaves the other whole',
  OURS,
  (host) => {
    const { config } = networkWithPorts(host);
    const pod = host.addContainer('pod');
    const both = (hostPort: number): Config => {
      const { runtimeConfig } = limits(config);
      return {
        ...config,
        runtimeConfig: { ...(ports(config, hostPort).runtimeConfig as object), ...(runtimeConfig as object) },
      };
    };
    const first = mustAdd(host, { config: both(8000), container: pod });
    const before = host.snapshot();
    mustAdd(host, { config: { ...both(8001), isDefaultGateway: false }, container: pod, ifname: 'eth1' });
    mustPass(host, 'DEL', { config, container: pod, ifname: 'eth1' });
    mustBeAsBefore(host, { pod, before });
    mustPass(host, 'CHECK', { config: withPrevResult(both(8000), first), container: pod });
  },
);

test(
  'two container IDs in one namespace: each has what it was given, and DEL takes no other (no counting of references)',
  OURS,
  (host) => {
    const { config } = networkInUse(host);
    const shared = host.addContainer('shared');
    mustAdd(host, { config, container: shared, containerId: 'old' });
    const before = host.snapshot();
    // Another pod of the same namespace, as when a sandbox is made again: it is told whose the interface is.
    mustRefuse(host, 'ADD', { config, container: shared, containerId: 'new' }, 102, /"eth0" already exists/);
    mustPass(host, 'DEL', { config, container: shared, containerId: 'new' });
    mustBeAsBefore(host, { pod: shared, before });
    const result = mustAdd(host, {
      config: { ...config, isDefaultGateway: false },
      container: shared,
      containerId: 'new',
      ifname: 'eth1',
    });
    mustPass(host, 'DEL', { config, container: shared, containerId: 'old' });
    assert.is(findLink(shared, 'eth0'), undefined);
    const later = withPrevResult({ ...config, isDefaultGateway: false }, result);
    mustPass(host, 'CHECK', { config: later, container: shared, containerId: 'new', ifname: 'eth1' });
    mustPass(host, 'DEL', { config: later, container: shared, containerId: 'new', ifname: 'eth1' });
  },
);

test('a repeated ADD is told who is there already, and since when', OURS, (host) => {
  const { config } = networkInUse(host);
  const pod = host.addContainer('pod');
  mustAdd(host, { config, container: pod });
  const { msg } = mustRefuse(host, 'ADD', { config, container: pod }, 102, /run DEL first/);
  for (const word of [pod.name, 'pods', 'eth0', pod.path, '20']) assert.ok(msg.includes(word), `${word} in: ${msg}`);
});

test(
  'a port that another container has is refused by name, and what was made is taken back (the first wins silently)',
  OURS,
  (host) => {
    const { config, neighbour } = networkInUse(host);
    mustPass(host, 'DEL', { config, container: neighbour });
    mustAdd(host, { config: ports(config, 8000), container: neighbour });
    const pod = host.addContainer('pod');
    const before = host.snapshot();
    const outcome = host.invoke('ADD', { config: ports(config, 8000), container: pod });
    const { code, msg } = outcome.json as ErrorDocument;
    // The other may end at any moment: the runtime tries again. Which one it is, the log says and not the pod's events.
    assert.is(code, 11, msg);
    assert.match(msg, /host port 8000\/tcp: another container/);
    assert.ok(!msg.includes(neighbour.name), msg);
    assert.ok(outcome.stderr.includes(neighbour.name), outcome.stderr);
    mustBeAsBefore(host, { pod, before });
  },
);

test(
  'the last DEL leaves no empty directories of records, and no element (firewall and portmap leave their chains filled)',
  OURS,
  (host) => {
    const config = host.config({ isDefaultGateway: true, ipMasq: true });
    const pods = [host.addContainer(), host.addContainer()];
    pods.forEach((container, i) => void mustAdd(host, { config: ports(config, 8000 + i), container }));
    for (const container of pods) mustPass(host, 'DEL', { config, container });
    assert.equal(readdirSync(join(host.runDir, 'attachments')), []);
    assert.equal(elementsOf(host.namespace), []);
    assert.equal(readdirSync(join(host.dataDir, '.podlink', 'pods', 'owners')), []);
  },
);

test('a stale file of the cache that libcni truncates: GC and DEL do without it (cni#1149)', OURS, (host) => {
  const attached = attachBesideNeighbour(host);
  writeFileSync(join(host.runDir, 'attachments', 'pods', 'stranger.json'), '');
  const valid = [{ containerID: attached.neighbour.name, ifname: 'eth0' }];
  mustPass(host, 'GC', { config: { ...attached.config, cniVersion: '1.1.0', 'cni.dev/valid-attachments': valid } });
  const left = host.changesSince(attached.before).filter((line) => !/stranger|last_reserved_ip/.test(line));
  mustBeEmpty(left, 'left by GC');
});

run();
