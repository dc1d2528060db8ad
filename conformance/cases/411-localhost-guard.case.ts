// The host's 127.0.0.1: a published port needs `route_localnet` on the bridge, with which the kernel takes in packets of
// containers for 127.0.0.0/8 (CVE-2020-8558). It is on only while a port is published, and never without the rules that
// drop such packets.

import { readdirSync, rmSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases("the host's 127.0.0.1");

const ROUTE_LOCALNET = 'net/ipv4/conf/cni0/route_localnet';
/** The reference sets it for good, and relies on kube-proxy's rules. */
const STAYS: Reference = { absent: 'an end of route_localnet, and rules of its own against what it lets in' };

function publishing(host: Host, hostPort: number, more: Config = {}): Config {
  const portMappings = [{ hostPort, containerPort: 7777, protocol: 'tcp' }];
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    runtimeConfig: { portMappings },
    ...more,
  });
}

function plain(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipMasq: true, ...more });
}

/** Let nothing on the pod's side keep its packets for 127.0.0.1 from the gateway. */
function aimAtLocalhost(pod: Pod): void {
  pod.namespace.ip('route', 'add', '127.0.0.1', 'via', '10.77.0.1', 'src', pod.ipv4);
  pod.namespace.setSysctl('net/ipv4/conf/eth0/route_localnet', '1');
  pod.namespace.setSysctl('net/ipv4/conf/all/route_localnet', '1');
}

async function reachesLocalhost(host: Host, pod: Pod): Promise<boolean> {
  const timeoutMs = SILENCE_TIMEOUT_MS;
  const reply = await exchange({ from: pod.namespace, to: host.namespace, address: '127.0.0.1', timeoutMs });
  return reply.answered;
}

function routeLocalnet(host: Host, bridge = 'cni0'): string {
  return host.namespace.sysctl(`net/ipv4/conf/${bridge}/route_localnet`);
}

function later({ invocation, config, result }: Pod): Invocation {
  return { ...invocation, config: withPrevResult(config, result) };
}

test('route_localnet goes with the last published port of the bridge', STAYS, (host) => {
  const neighbour = addPod(host, plain(host));
  assert.is(routeLocalnet(host), '0');
  const [first, second] = [addPod(host, publishing(host, 8001)), addPod(host, publishing(host, 8002))];
  assert.is(routeLocalnet(host), '1');
  delPod(host, first);
  assert.is(routeLocalnet(host), '1', 'the second needs it');
  delPod(host, second);
  assert.is(routeLocalnet(host), '0');
  checkPod(host, neighbour);
  const third = addPod(host, publishing(host, 8001));
  assert.is(routeLocalnet(host), '1');
  delPod(host, third);
  assert.is(routeLocalnet(host), '0');
});

test('it stays on where somebody else had turned it on before', STAYS, (host) => {
  const pod = addPod(host, plain(host));
  host.namespace.setSysctl(ROUTE_LOCALNET, '1');
  const publisher = addPod(host, publishing(host, 8001));
  delPod(host, publisher);
  assert.is(routeLocalnet(host), '1');
  checkPod(host, pod);
});

test('each bridge has its own', STAYS, (host) => {
  const other = { name: 'others', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) };
  const [here, there] = [addPod(host, publishing(host, 8001)), addPod(host, publishing(host, 8002, other))];
  delPod(host, here);
  assert.equal([routeLocalnet(host), routeLocalnet(host, 'cni1')], ['0', '1']);
  delPod(host, there);
  assert.equal([routeLocalnet(host), routeLocalnet(host, 'cni1')], ['0', '0']);
});

test('an ADD that fails after it has turned it on turns it off', STAYS, (host) => {
  const neighbour = addPod(host, plain(host));
  const container = host.addContainer();
  const before = host.snapshot();
  // Version 0.2.0 has no word for two addresses of a family: that is found out when all is made.
  const ipam = host.hostLocal(['10.77.0.0/24', '10.78.0.0/24']);
  const config = publishing(host, 8001, { cniVersion: '0.2.0', ipam });
  assert.is.not(host.invoke('ADD', { config, container }).code, 0);
  assert.is(routeLocalnet(host), '0');
  mustBeEmpty(host.leftSince(before), 'left');
  checkPod(host, neighbour);
});

test('DELs and ADDs at once leave it on while a port is published', STAYS, async (host) => {
  const keeper = addPod(host, plain(host));
  for (let round = 0; round < 4; round++) {
    const leaving = [0, 1, 2].map((i) => addPod(host, publishing(host, 8100 + 10 * round + i)));
    const arriving = [0, 1, 2].map((i) => ({
      config: publishing(host, 9100 + 10 * round + i),
      container: host.addContainer(),
    }));
    const outcomes = await Promise.all([
      ...leaving.map((pod) => host.start('DEL', later(pod))),
      ...arriving.map((invocation) => host.start('ADD', invocation)),
    ]);
    assert.equal(
      outcomes.map(({ code }) => code),
      outcomes.map(() => 0),
    );
    assert.is(routeLocalnet(host), '1', `in round ${round}`);
    for (const invocation of arriving) mustPass(host, 'DEL', invocation);
    assert.is(routeLocalnet(host), '0', `after round ${round}`);
  }
  checkPod(host, keeper);
});

test('a DEL without a record turns it off, too', STAYS, (host) => {
  const pod = addPod(host, publishing(host, 8001));
  host.namespace.mustRun('find', [`${host.runDir}/attachments`, '-name', '*.json', '-delete']);
  mustPass(host, 'DEL', { config: pod.config, container: pod.namespace });
  assert.is(routeLocalnet(host), '0');
});

test('on a bridge that has another name by then, and on none that has the old one', STAYS, (host) => {
  const pod = addPod(host, publishing(host, 8001));
  for (const change of [['down'], ['name', 'renamed']]) host.namespace.ip('link', 'set', 'cni0', ...change);
  host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
  host.namespace.setSysctl(ROUTE_LOCALNET, '1');
  delPod(host, pod);
  assert.equal([routeLocalnet(host, 'renamed'), routeLocalnet(host)], ['0', '1']);
});

test('on a bridge that was deleted and made anew', STAYS, (host) => {
  const first = addPod(host, publishing(host, 8001));
  host.namespace.ip('link', 'del', 'cni0');
  const second = addPod(host, publishing(host, 8002));
  delPod(host, first);
  assert.is(routeLocalnet(host), '1', 'the second needs it');
  delPod(host, second);
  assert.is(routeLocalnet(host), '0');
});

test('what `all` turns on for every interface is left alone', STAYS, (host) => {
  host.namespace.setSysctl('net/ipv4/conf/all/route_localnet', '1');
  const pod = addPod(host, publishing(host, 8001));
  assert.is(routeLocalnet(host), '0');
  checkPod(host, pod);
  delPod(host, pod);
  assert.equal([routeLocalnet(host, 'all'), routeLocalnet(host)], ['1', '0']);
});

test('where `all` turns it on, an ADD without any feature brings the rules back', STAYS, async (host) => {
  host.namespace.setSysctl('net/ipv4/conf/all/route_localnet', '1');
  const pod = addPod(host, publishing(host, 8001));
  aimAtLocalhost(pod);
  host.namespace.mustRun('nft', ['flush', 'ruleset']);
  assert.ok(await reachesLocalhost(host, pod), 'after the flush');
  addPod(host, plain(host, { ipMasq: false }));
  assert.not(await reachesLocalhost(host, pod), 'after the ADD');
});

const NOBODY = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
/** Each collects a claim whose attachment left no other trace: neither record nor link nor element. */
const COLLECTORS: readonly (readonly [string, Reference, (host: Host, config: Config) => void])[] = [
  ['GC', STAYS, (host, config) => mustPass(host, 'GC', { config: { ...config, ...NOBODY } })],
  ['`podlink gc`', NO_COMMANDS, (host) => void mustEnd(host, ['gc', '--data-dir', host.dataDir], 0)],
  ['`podlink repair`', NO_COMMANDS, (host) => void mustEnd(host, ['repair'], 0)],
];
for (const [title, reference, collect] of COLLECTORS) {
  test(`${title} turns route_localnet off that an attachment without a record has claimed`, reference, (host) => {
    const [lost, kept] = [addPod(host, publishing(host, 8001)), addPod(host, publishing(host, 8002))];
    loseTraces(host, lost);
    delPod(host, kept);
    assert.is(routeLocalnet(host), '1', 'the claim is there');
    collect(host, plain(host));
    assert.is(routeLocalnet(host), '0');
    host.namespace.ip('link', 'del', 'cni0');
    collect(host, plain(host));
    assert.equal(
      [...readdirSync(`${host.runDir}/localnet`), ...readdirSync(`${host.runDir}/locks`)].filter((name) =>
        /^(localnet\.)?\d+$/.test(name),
      ),
      [],
      'nothing is left of an interface that is gone',
    );
  });
}

function loseTraces(host: Host, pod: Pod): void {
  host.namespace.ip('link', 'del', hostEndOf(host, pod).ifname);
  rmSync(`${host.runDir}/attachments/pods/${pod.namespace.name}.eth0.json`);
  host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'podlink']);
  addPod(host, plain(host));
}

/** Each brings the rules back. */
const WAYS: readonly (readonly [string, (host: Host, pod: Pod) => void])[] = [
  ['an ADD without ports', (host) => void addPod(host, plain(host))],
  ['an ADD without any feature', (host) => void addPod(host, plain(host, { ipMasq: false }))],
  ['an ADD with ports', (host) => void addPod(host, publishing(host, 8002))],
  ['`podlink repair`', (host) => void mustSay(host, ['repair'])],
];
for (const [title, close] of WAYS) {
  test(`after \`nft flush ruleset\` ${title} brings the rules back`, STAYS, async (host) => {
    const pod = addPod(host, publishing(host, 8001));
    aimAtLocalhost(pod);
    assert.not(await reachesLocalhost(host, pod), 'before the flush');
    host.namespace.mustRun('nft', ['flush', 'ruleset']);
    mustRefuse(host, 'CHECK', later(pod), 101, /table inet podlink is missing/);
    close(host, pod);
    assert.not(await reachesLocalhost(host, pod), `after ${title}`);
  });
}

test('so does the repair of a container that publishes nothing, whose CHECK asks for them', STAYS, async (host) => {
  const [pod, publisher] = [addPod(host, plain(host, { ipMasq: false })), addPod(host, publishing(host, 8001))];
  aimAtLocalhost(pod);
  host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'podlink']);
  mustRefuse(host, 'CHECK', later(pod), 101, /table inet podlink is missing/);
  mustSay(host, ['repair', '--network', 'pods']);
  checkPod(host, pod);
  checkPod(host, publisher);
  assert.not(await reachesLocalhost(host, pod));
});

test("doctor says that containers reach the host's 127.0.0.1, and when it is closed", NO_COMMANDS, (host) => {
  const config = publishing(host, 8001);
  const dirs = ['--conf-dir', writeConfDir(host, [plain(host)]), '--data-dir', host.dataDir];
  const args = ['doctor', ...dirs, '--bin-dir', host.pluginFolder];
  addPod(host, config);
  const holes = (code: number) =>
    mustTell<{ level: string; what: string; remedy?: { commands: string[] } }[]>(host, args, code).filter(({ what }) =>
      /reach what listens on the host's 127\.0\.0\.1/.test(what),
    );
  assert.equal(holes(0), []);
  host.namespace.mustRun('nft', ['flush', 'chain', 'inet', 'podlink', 'portmap_raw']);
  const [hole, ...more] = holes(1);
  assert.is(hole?.level, 'fail');
  assert.match(hole?.what ?? '', /bridge "cni0"/);
  assert.equal(hole?.remedy?.commands, ['podlink repair']);
  assert.equal(more, []);
  mustEnd(host, ['repair'], 0);
  assert.equal(holes(0), []);
});

run();
