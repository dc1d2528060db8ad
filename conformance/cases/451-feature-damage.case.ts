// Damage to what the features have made: CHECK finds it and names it, and repair mends it.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Output } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { podlink } from '../harness/operator-command.ts';
import { elementsOfSet } from '../harness/owned-element.ts';
import { addPod, checkPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { linksOf } from '../harness/referee.ts';
import { mustBeEmpty, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('damage to features');

const OURS = {
  absent: 'one CHECK of all: each plugin of the chain looks at its own rules, and none at chains, maps or filters',
};

const PORTS = [
  { hostPort: 8080, containerPort: 7777, protocol: 'tcp' },
  ...[9000, 9001, 9002].map((port) => ({ hostPort: port, containerPort: port, protocol: 'udp' })),
];
const BANDWIDTH = { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 40e6, egressBurst: 4e6 };

function network(host: Host, runtimeConfig: object = { portMappings: PORTS, bandwidth: BANDWIDTH }): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    icc: false,
    macspoofchk: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    sysctl: { 'net.core.somaxconn': '500' },
    txQLen: 2000,
    promisc: true,
    runtimeConfig,
  });
}

interface Damage {
  readonly title: string;
  readonly cause: (host: Host, pod: Pod) => void;
  /** What CHECK says. */
  readonly says: RegExp;
}

const nft = (host: Host, command: string): void => {
  host.namespace.mustRun('nft', ['-f', '-'], { input: command });
};

/** Delete an element that the pod has in a set or map. */
function dropElement(set: string, family = 'inet') {
  return (host: Host, { namespace }: Pod): void => {
    const owner = `pods/${namespace.name}/eth0`;
    const element = elementsOfSet(host.namespace, set).find((candidate) => candidate.owner === owner);
    assert.ok(element, `an element of ${set}`);
    const key = element.key.replace(/veth\w+|cni0/, '"$&"');
    nft(host, `delete element ${family} podlink ${set} { ${key} }`);
  };
}

const flushChain =
  (chain: string, family = 'inet') =>
  (host: Host): void =>
    nft(host, `flush chain ${family} podlink ${chain}`);

const ifbOf = (host: Host): string =>
  linksOf(host.namespace).find(({ linkinfo }) => linkinfo?.info_kind === 'ifb')?.ifname ?? '';
const tc = (host: Host, ...args: string[]): string => host.namespace.mustRun('tc', args);

const DAMAGES: readonly Damage[] = [
  {
    title: 'a sysctl is changed',
    cause: (_, pod) => pod.namespace.setSysctl('net/core/somaxconn', '128'),
    says: /sysctl "net\.core\.somaxconn" is "128", the configuration says "500"/,
  },
  {
    title: 'the transmit queue is shortened',
    cause: (_, pod) => pod.namespace.ip('link', 'set', 'eth0', 'txqueuelen', '10'),
    says: /"eth0" has a transmit queue of 10 packets, the configuration says 2000/,
  },
  {
    title: 'the interface is no longer promiscuous',
    cause: (_, pod) => pod.namespace.ip('link', 'set', 'eth0', 'promisc', 'off'),
    says: /"eth0" is not promiscuous/,
  },
  {
    title: 'route_localnet of the bridge is off',
    cause: (host) => host.namespace.setSysctl('net/ipv4/conf/cni0/route_localnet', '0'),
    says: /route_localnet is 0 instead of 1/,
  },
  ...[
    'masquerade_v4',
    'masquerade_except_v6',
    'portmap_any_v4',
    'portmap_any_range_v6',
    'portmap_own_v4',
    'portmap_localhost',
    'isolation_icc_v4',
    'isolation_direct_v6',
  ].map((set) => ({
    title: `an element of ${set} is deleted`,
    cause: dropElement(set),
    says: new RegExp(`element .* of set ${set} is missing`),
  })),
  {
    title: 'an element of macspoof_macs is deleted',
    cause: dropElement('macspoof_macs', 'bridge'),
    says: /element .* of set macspoof_macs is missing/,
  },
  ...['postrouting_masquerade', 'portmap_prerouting', 'portmap_dnat_v4', 'portmap_raw', 'forward_isolation'].map(
    (chain) => ({
      title: `chain ${chain} is flushed`,
      cause: flushChain(chain),
      says: new RegExp(`the rules of chain ${chain} .*are (not as they were made|missing)|chain ${chain}`),
    }),
  ),
  {
    title: 'chain macspoof_port is flushed',
    cause: flushChain('macspoof_port', 'bridge'),
    says: /the rules of chain macspoof_port of table bridge podlink are not as they were made/,
  },
  {
    title: 'the whole table is deleted',
    cause: (host) => nft(host, 'delete table inet podlink'),
    says: /table inet podlink is missing/,
  },
];

const LIMIT_DAMAGES: readonly Damage[] = [
  {
    title: "the container's queue is deleted",
    cause: (host, pod) => tc(host, 'qdisc', 'del', 'dev', hostEndOf(host, pod).ifname, 'root'),
    says: /the root qdisc of "veth\w+" is .* instead of tbf 1:/,
  },
  {
    title: 'its rate is changed',
    cause: (host, pod) =>
      tc(
        host,
        ...`qdisc replace dev ${hostEndOf(host, pod).ifname} root handle 1: tbf rate 1mbit burst 100kb limit 100kb`.split(
          ' ',
        ),
      ),
    says: /the rate of "veth\w+" is 125000 instead of 10000000/,
  },
  {
    title: 'the way to the ifb is deleted',
    cause: (host, pod) => tc(host, 'qdisc', 'del', 'dev', hostEndOf(host, pod).ifname, 'clsact'),
    says: /the clsact qdisc of "veth\w+" is missing/,
  },
  {
    title: 'the queue of the ifb is deleted',
    cause: (host) => tc(host, 'qdisc', 'del', 'dev', ifbOf(host), 'root'),
    says: /the root qdisc of "ifb\w+" is .* instead of tbf 1:/,
  },
  {
    title: 'the ifb is deleted',
    cause: (host) => host.namespace.ip('link', 'del', ifbOf(host)),
    says: /the ifb "ifb\w+" is missing/,
  },
];

for (const [what, runtimeConfig, damages] of [
  ['elements, rules and settings', { portMappings: PORTS }, DAMAGES],
  ['limits', { bandwidth: BANDWIDTH }, LIMIT_DAMAGES],
] as const) {
  test(`CHECK names each of ${damages.length} damages to ${what}, and passes again after repair`, OURS, (host) => {
    const pod = addPod(host, network(host, runtimeConfig));
    const neighbour = addPod(host, network(host, {}));
    const config = withPrevResult(pod.config, pod.result);
    checkPod(host, pod);
    const faults: string[] = [];
    for (const { title, cause, says } of damages) {
      try {
        cause(host, pod);
        mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, says);
        const { code, stdout, stderr } = podlink(host, ['repair', '--bin-dir', host.pluginFolder]);
        assert.is(code, 0, `repair: ${stdout}${stderr}`);
        assert.match(stdout, says, 'what repair says it found');
        checkPod(host, pod);
      } catch (error) {
        faults.push(`${title}: ${error instanceof Error ? error.message : error}`);
      }
    }
    mustBeEmpty(faults, `${faults.length} of ${damages.length} damages`);
    checkPod(host, neighbour);
  });
}

test('a port that another has taken meanwhile is named by CHECK, and not taken from him by repair', OURS, (host) => {
  const pod = addPod(host, network(host, { portMappings: PORTS }));
  const config = withPrevResult(pod.config, pod.result);
  const repair = (): Output => podlink(host, ['repair', '--bin-dir', host.pluginFolder]);
  const other = addPod(host, network(host, {}));
  dropElement('portmap_any_v4')(host, pod);
  const taken = 'inet podlink portmap_any_v4 { tcp . 8080';
  nft(host, `add element ${taken} comment "pods/${other.namespace.name}/eth0" : 10.77.0.99 . 80 }`);
  const says = /element tcp \. 8080 : \S+ \. 7777 of set portmap_any_v4 is tcp \. 8080 : 10\.77\.0\.99 \. 80 instead/;
  mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, says);
  const refused = repair();
  assert.is(refused.code, 1);
  assert.match(refused.stdout, `8080/tcp is mapped to container "${other.namespace.name}" (network "pods"`);
  nft(host, `delete element ${taken} }`);
  const { code, stdout } = repair();
  assert.is(code, 0, stdout);
  checkPod(host, pod);
});

test('CHECK lists all damages, not only the first', OURS, (host) => {
  const pod = addPod(host, network(host));
  pod.namespace.setSysctl('net/core/somaxconn', '128');
  host.namespace.ip('link', 'del', ifbOf(host));
  dropElement('portmap_any_v4')(host, pod);
  const config = withPrevResult(pod.config, pod.result);
  const { msg, details = '' } = mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, /failed/);
  for (const part of [
    /sysctl "net\.core\.somaxconn"/,
    /the ifb "ifb\w+" is missing/,
    /of set portmap_any_v4 is missing/,
  ]) {
    assert.match(`${msg} ${details}`, part);
  }
});

test('what others add beside it is no damage', OURS, (host) => {
  const pod = addPod(host, network(host));
  nft(host, 'table inet firewall { chain f { type filter hook forward priority 10; policy accept; counter; }; }');
  nft(host, 'add element inet podlink masquerade_v4 { 10.77.0.200 comment "pods/another/eth0" }');
  tc(
    host,
    ...`filter add dev ${hostEndOf(host, pod).ifname} ingress prio 99 protocol ip u32 match u32 0 0 flowid :9`.split(
      ' ',
    ),
  );
  pod.namespace.ip('link', 'set', 'eth0', 'allmulticast', 'on');
  checkPod(host, pod);
});

run();
