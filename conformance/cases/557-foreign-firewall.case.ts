// Nodes with firewalld, ufw or Docker: `doctor` says what each does to the containers, and says no more when its own command
// has been run. The rules are as these programs wrote them (conformance/firewalls).

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { addPod, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { ANSWER_TIMEOUT_MS, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';

const { test, run } = withQuickIpv6(cases('foreign firewalls'));
const FOLDER = fileURLToPath(new URL('../firewalls', import.meta.url));

interface Finding {
  readonly level: string;
  readonly subject: string;
  readonly what: string;
  readonly remedy?: { readonly sentence: string; readonly commands: readonly string[] };
}

interface Firewall {
  readonly name: string;
  /** Put the rules in force. */
  readonly load: (host: Host) => void;
  /** Do what `doctor` says; the rules that the program makes of it, where it is not on this machine. */
  readonly obey: (host: Host, commands: readonly string[]) => void;
  readonly chains: readonly string[];
  readonly commands: readonly string[];
  /** The pod's reach before: the outside machine by both families. */
  readonly before: readonly [v4: boolean, v6: boolean];
  readonly says: RegExp;
}

function nft(host: Host, file: string): void {
  host.namespace.mustRun('nft', ['-f', join(FOLDER, file)]);
}

function iptables(host: Host, file: string): void {
  const program = file.includes('.v6.') ? 'ip6tables-nft-restore' : 'iptables-nft-restore';
  host.namespace.mustRun('sh', ['-c', `${program} < ${join(FOLDER, file)}`]);
}

function runAll(host: Host, commands: readonly string[]): void {
  for (const command of commands) host.namespace.mustRun('sh', ['-c', command]);
}

const FIREWALLS: readonly Firewall[] = [
  {
    name: 'firewalld',
    load: (host) => nft(host, 'firewalld.nft'),
    obey: (host) => {
      host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'firewalld']);
      nft(host, 'firewalld-trusted.nft');
    },
    chains: [
      'chain filter_FORWARD of table inet firewalld rejects',
      'chain filter_INPUT of table inet firewalld rejects',
    ],
    commands: ['firewall-cmd --permanent --zone=trusted --add-interface=cni0 && firewall-cmd --reload'],
    before: [false, false],
    says: /firewalld keeps over a reboot/,
  },
  {
    name: 'ufw',
    load: (host) => {
      iptables(host, 'ufw.v4.rules');
      iptables(host, 'ufw.v6.rules');
    },
    obey: (host) => {
      iptables(host, 'ufw-allowed.v4.rules');
      iptables(host, 'ufw-allowed.v6.rules');
    },
    chains: [
      'chain FORWARD of table ip filter has policy drop',
      'chain FORWARD of table ip6 filter has policy drop',
      'chain INPUT of table ip filter has policy drop',
      'chain INPUT of table ip6 filter has policy drop',
    ],
    commands: ['ufw allow in on cni0', 'ufw route allow in on cni0', 'ufw route allow out on cni0'],
    before: [false, false],
    says: /ufw keeps/,
  },
  {
    name: 'Docker',
    load: (host) => iptables(host, 'docker.v4.rules'),
    obey: runAll,
    chains: ['chain FORWARD of table ip filter has policy drop'],
    commands: [
      'iptables -I DOCKER-USER -i cni0 -j ACCEPT',
      'iptables -I DOCKER-USER -o cni0 -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT',
    ],
    before: [false, true],
    says: /last until the next reboot/,
  },
];

interface Node {
  readonly args: readonly string[];
  readonly seen: (expected: readonly boolean[]) => Promise<boolean[]>;
}

/** A node with a pod that publishes a port; `seen`: what it reaches of the outside machine, and what reaches it there. */
function nodeWithPod(host: Host): Node {
  const outside = host.addOutside();
  const config = host.config({
    isDefaultGateway: true,
    ipMasq: true,
    capabilities: { portMappings: true },
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
  });
  const directories = ['--data-dir', host.dataDir, '--bin-dir', host.pluginFolder];
  const args = ['doctor', '--conf-dir', writeConfDir(host, [config]), ...directories];
  const portMappings = [{ hostPort: 8080, containerPort: 7777, protocol: 'tcp' }];
  const pod: Pod = addPod(host, { ...config, runtimeConfig: { portMappings } });
  const out = ['203.0.113.2', '2001:db8:1::2'].map((address) => ({ from: pod.namespace, address }));
  const into = ['203.0.113.1', '2001:db8:1::1'].map((address) => ({ from: outside, address, port: 8080 }));
  /** Which of them are answered. Silence that is expected need not be waited for as long as an answer. */
  const seen = (expected: readonly boolean[]) =>
    whileServing(pod.namespace, [pod.ipv4, pod.ipv6], () =>
      whileServing(outside, ['203.0.113.2', '2001:db8:1::2'], () =>
        askAll(
          [...out, ...into].map((question, i) => ({
            ...question,
            timeoutMs: expected[i] === false ? SILENCE_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
          })),
        ).map(({ seenFrom }) => seenFrom !== ''),
      ),
    );
  return { args, seen };
}

function findingsOf(host: Host, args: readonly string[], code: number): Finding[] {
  const findings = mustTell<Finding[]>(host, args, code);
  return findings.filter(({ subject, level }) => subject === 'firewall' && level !== 'ok');
}

for (const { name, load, obey, chains, commands, before, says } of FIREWALLS) {
  test(`${name}: doctor fails, its commands help, and then it has nothing to say`, NO_COMMANDS, async (host) => {
    const { args, seen } = nodeWithPod(host);
    load(host);
    const found = findingsOf(host, args, 1);
    for (const chain of chains)
      assert.ok(
        found.some(({ what }) => what.startsWith(chain)),
        JSON.stringify(found),
      );
    assert.is(found.length, chains.length, JSON.stringify(found));
    // A node that protects itself is not as bad as one whose pods reach nobody.
    for (const { level, what } of found) assert.is(level, /^chain (filter_)?INPUT /.test(what) ? 'warn' : 'fail', what);
    for (const { remedy } of found) assert.match(remedy?.sentence ?? '', says);
    assert.equal([...new Set(found.flatMap(({ remedy }) => remedy?.commands ?? []))].sort(), [...commands].sort());
    const text = mustEnd(host, args, 1).stdout;
    for (const command of commands)
      assert.ok(
        text.split('\n').some((line) => line.trim() === command),
        command,
      );
    assert.equal((await seen([...before, false, false])).slice(0, 2), [...before]);
    obey(
      host,
      found.flatMap(({ remedy }) => remedy?.commands ?? []),
    );
    assert.equal(await seen([true, true, true, true]), [true, true, true, true]);
    assert.equal(findingsOf(host, args, 0), []);
  });
}

test('a published port that another program redirects first is told of', NO_COMMANDS, (host) => {
  const { args } = nodeWithPod(host);
  const chain = 'add table ip proxy; add chain ip proxy first { type nat hook prerouting priority -101; }';
  host.namespace.mustRun('nft', [`${chain}; add rule ip proxy first tcp dport 8000-8099 redirect to :3128`]);
  const [found, ...others] = findingsOf(host, args, 1);
  assert.equal(others, []);
  assert.match(found?.what ?? '', /^chain first of table ip proxy sends port 8080\/tcp elsewhere over IPv4, which /);
  assert.equal(found?.remedy?.commands, ['nft -a list chain ip proxy first']);
});

test('what only a packet will tell is not called right', NO_COMMANDS, (host) => {
  const { args } = nodeWithPod(host);
  const chain = 'add table inet fw; add chain inet fw guard { type filter hook forward priority 0; policy drop; }';
  host.namespace.mustRun('nft', [`${chain}; add rule inet fw guard limit rate 5/second accept`]);
  const [found] = findingsOf(host, args, 0);
  assert.is(found?.level, 'unknown');
  assert.match(found?.what ?? '', /^it cannot be told whether chain guard of table inet fw lets through/);
  const { stdout } = mustEnd(host, args, 0);
  assert.match(stdout, /\n\nnothing is wrong, as far as could be told; 1 thing could not be told\n$/);
});

run();
