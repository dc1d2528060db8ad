// Bandwidth limits: measured on what arrives, with tc as a second witness.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import type { Namespace } from '../harness/namespace.ts';
import { hostEndOf } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { linksOf } from '../harness/referee.ts';
import { measureTransfer } from '../harness/transfer.ts';
import { mustBeEmpty } from '../harness/verdict.ts';
import { addWholePod, checkWholePod, delWholePod, invokeWhole, mustPassWhole } from '../harness/whole-chain.ts';

const { test, run } = withQuickIpv6(cases('bandwidth'));

const MBIT = 1_000_000;
const TRIES = 3;

function network(host: Host, bandwidth: object, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    runtimeConfig: { bandwidth },
    ...more,
  });
}

const limits = (ingress: number, egress: number): object => ({
  ingressRate: ingress * MBIT,
  ingressBurst: ingress * 100_000,
  egressRate: egress * MBIT,
  egressBurst: egress * 100_000,
});

interface Measurement {
  readonly title: string;
  readonly from: Namespace;
  readonly to: Namespace;
  readonly address: string;
  readonly port: number;
  readonly mbits: number;
}

/**
 * Measure all at the same time; each must be within 10 % of its limit. What is outside is measured again: on a machine
 * that is busy a transfer may be slower than its limit, while a limit that is not there, or is another, shows each time.
 */
async function mustHaveRates(measurements: readonly Measurement[]): Promise<void> {
  let faults: string[] = [];
  let left = measurements;
  for (let tries = 0; left.length > 0 && tries < TRIES; tries++) {
    const rates = await Promise.all(left.map((measurement) => measureTransfer(measurement)));
    const results = left.map((measurement, i) => ({ measurement, mbits: (rates[i] ?? 0) / MBIT }));
    const texts = results.map(
      ({ measurement, mbits }) => `${measurement.title} ${mbits.toFixed(1)} of ${measurement.mbits}`,
    );
    console.log(`\nmeasured, in Mbit/s: ${texts.join(', ')}`);
    const missed = results.filter(({ measurement, mbits }) => Math.abs(mbits / measurement.mbits - 1) > 0.1);
    left = missed.map(({ measurement }) => measurement);
    faults = missed.map(({ measurement, mbits }) => `${measurement.title}: ${mbits} Mbit/s, not ${measurement.mbits}`);
  }
  mustBeEmpty(faults, 'rates');
}

interface Qdisc {
  readonly kind: string;
  readonly root?: boolean;
  readonly options?: { readonly rate?: number; readonly burst?: number };
}

function qdiscsOf(namespace: Namespace, link: string): Qdisc[] {
  return JSON.parse(namespace.mustRun('tc', ['-j', 'qdisc', 'show', 'dev', link])) as Qdisc[];
}

/** Bytes a second that the root queue of a link is emptied with; undefined when there is no limit. */
function rateOf(namespace: Namespace, link: string): number | undefined {
  return qdiscsOf(namespace, link).find(({ kind, root }) => root && kind === 'tbf')?.options?.rate;
}

const ifbsOf = (host: Host) => linksOf(host.namespace).filter(({ linkinfo }) => linkinfo?.info_kind === 'ifb');

test('both directions have their rate, in both families, and tc says the same', 'same', async (host) => {
  // Two, since the acknowledgements of one direction would wait in the full queue of the other.
  const config = network(host, limits(40, 20));
  const [server, client] = [addWholePod(host, config), addWholePod(host, config)];
  for (const pod of [server, client]) {
    assert.is(rateOf(host.namespace, hostEndOf(host, pod).ifname), (40 * MBIT) / 8);
  }
  assert.equal(
    ifbsOf(host).map(({ ifname }) => rateOf(host.namespace, ifname)),
    [(20 * MBIT) / 8, (20 * MBIT) / 8],
  );
  const into = { title: 'into it', from: host.namespace, to: server.namespace, mbits: 40 };
  const out = { title: 'out of it', from: client.namespace, to: host.namespace, mbits: 20 };
  await mustHaveRates([
    { ...into, address: server.ipv4, port: 7701 },
    { ...out, address: '10.77.0.1', port: 7702 },
  ]);
  await mustHaveRates([
    { ...into, address: server.ipv6, port: 7703 },
    { ...out, address: 'fd00:77::1', port: 7704 },
  ]);
  for (const pod of [server, client]) checkWholePod(host, pod);
});

test('two interfaces of one container each have their own, and go alone', {
  differs: 'names the ifb after network and container alone',
  seen: /file exists/,
}, async (host) => {
  const first = addWholePod(host, network(host, limits(40, 40)));
  const container = first.namespace;
  const later = network(host, limits(20, 20), { isDefaultGateway: false });
  const other = { ...later, ipam: host.hostLocal(['10.78.0.0/24']), bridge: 'cni1', isGateway: true };
  const second = addWholePod(host, other, { container, ifname: 'net1' });
  assert.is(ifbsOf(host).length, 2);
  await mustHaveRates([
    { title: 'out of eth0', from: container, to: host.namespace, address: '10.77.0.1', port: 7701, mbits: 40 },
    { title: 'out of net1', from: container, to: host.namespace, address: '10.78.0.1', port: 7702, mbits: 20 },
  ]);
  delWholePod(host, second);
  checkWholePod(host, first);
  assert.is(ifbsOf(host).length, 1);
  delWholePod(host, first);
  assert.is(ifbsOf(host).length, 0);
});

/** How it goes without a limit: far above those of the cases. */
async function mustBeUnlimited(transfer: Omit<Measurement, 'title' | 'mbits'>, above: number): Promise<void> {
  const mbits = (await measureTransfer(transfer)) / MBIT;
  assert.ok(mbits > above, `${mbits.toFixed(1)} Mbit/s to ${transfer.address}`);
}

test('unshapedSubnets are where the other end is, both ways; all else is limited', {
  absent: 'subnets in 1.1.1',
}, async (host) => {
  const outside = host.addOutside();
  const keys = { ...limits(20, 20), unshapedSubnets: ['203.0.113.0/24'] };
  const pod = addWholePod(host, network(host, {}, { ...keys, runtimeConfig: {} }));
  outside.ip('route', 'add', '10.77.0.0/24', 'via', '203.0.113.1');
  await mustHaveRates([
    { title: 'into it', from: host.namespace, to: pod.namespace, address: pod.ipv4, port: 7701, mbits: 20 },
  ]);
  await mustHaveRates([
    { title: 'out of it', from: pod.namespace, to: host.namespace, address: '10.77.0.1', port: 7702, mbits: 20 },
  ]);
  await mustBeUnlimited({ from: outside, to: pod.namespace, address: pod.ipv4, port: 7703 }, 100);
  await mustBeUnlimited({ from: pod.namespace, to: outside, address: '203.0.113.2', port: 7704 }, 100);
  checkWholePod(host, pod);
});

/** ADD whose warnings are of interest. */
function warningsOfAdd(host: Host, config: Config, pod: { container: Namespace }): string {
  const { code, stdout, stderr } = invokeWhole(host, 'ADD', { ...pod, config });
  assert.is(code, 0, `${stdout}${stderr}`);
  return stderr;
}

/** https://github.com/kubernetes/kubernetes/issues/90838 */
test("the kubelet's burst of 2 GiB does not defeat the limit: it is corrected, with a warning", {
  differs: 'takes it',
  seen: /ingressBurst|warning/,
}, async (host) => {
  const burst = 2 ** 31 - 1;
  const container = host.addContainer();
  const bandwidth = { ingressRate: 20 * MBIT, ingressBurst: burst, egressRate: 20 * MBIT, egressBurst: burst };
  const warnings = warningsOfAdd(host, network(host, bandwidth), { container });
  for (const key of ['ingressBurst', 'egressBurst']) {
    assert.match(
      warnings,
      new RegExp(`"runtimeConfig\\.bandwidth\\.${key}" of 2147483647 bits is so much that the limit`),
    );
  }
  await mustHaveRates([
    { title: 'into it', from: host.namespace, to: container, address: '10.77.0.2', port: 7701, mbits: 20 },
  ]);
});

test('a burst below one packet lets packets pass all the same, with a warning', {
  differs: 'takes it, and nothing of full size passes',
  seen: /too little|warning|ingressBurst/,
}, async (host) => {
  const container = host.addContainer();
  const bandwidth = { ingressRate: 20 * MBIT, ingressBurst: 800 };
  assert.match(
    warningsOfAdd(host, network(host, bandwidth), { container }),
    /"runtimeConfig\.bandwidth\.ingressBurst".*too little/,
  );
  await mustHaveRates([
    { title: 'into it', from: host.namespace, to: container, address: '10.77.0.2', port: 7701, mbits: 20 },
  ]);
});

test("of the operator's limit and the pod's the lower one holds", {
  differs: "ignores the pod's as soon as the operator has one",
  seen: /5000000|2500000/,
}, (host) => {
  const operators = { ingressRate: 40 * MBIT, ingressBurst: 4 * MBIT };
  for (const [asked, given] of [
    [20, 20],
    [80, 40],
  ] as const) {
    const bandwidth = { ingressRate: asked * MBIT, ingressBurst: asked * 100_000 };
    const pod = addWholePod(host, network(host, bandwidth, operators));
    assert.is(rateOf(host.namespace, hostEndOf(host, pod).ifname), (given * MBIT) / 8);
  }
});

for (const [title, isBare, reference] of [
  ['with all it knows', false, 'same'],
  [
    'without namespace, runtimeConfig and prevResult',
    true,
    { differs: 'finds the ifb, but neither the link nor the rules of the firewall', seen: /left after DEL/ },
  ],
] as const) {
  test(`DEL ${title} leaves no ifb`, reference, (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    const pod = addWholePod(host, network(host, limits(20, 20)), { container });
    assert.is(ifbsOf(host).length, 1);
    const { runtimeConfig: _, ...bare } = pod.config;
    if (isBare) mustPassWhole(host, 'DEL', { ...pod.invocation, netns: '', config: bare });
    else delWholePod(host, pod);
    assert.equal(ifbsOf(host), []);
    mustLeaveNothing(host, before);
  });
}

run();
