// Ranges of ports, which runtimes hand over as one entry for each port: tens of thousands that no interval stands for.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { askFromPort } from '../harness/conntrack.ts';
import type { Config } from '../harness/document.ts';
import type { Command, Host, Invocation } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { elementsOfSet } from '../harness/owned-element.ts';
import { whileServing } from '../harness/standing-server.ts';
import { refusalOf, withPrevResult } from '../harness/verdict.ts';
import { addWholePod, checkWholePod, delWholePod, mustPassWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('many ports');

const OURS: Reference = { absent: 'ports in their thousands: it runs iptables for each' };

/** Ports from `first` on that lead to others: no two of them are one element. */
function shifted(first: number, count: number, more: object = {}): object[] {
  return Array.from({ length: count }, (_, i) => ({
    hostPort: first + i,
    containerPort: 1 + i,
    protocol: 'tcp',
    hostIP: '0.0.0.0',
    ...more,
  }));
}

function network(host: Host, portMappings: readonly object[], more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, runtimeConfig: { portMappings }, ...more });
}

test("30,000 ports, the host's first: ADD, exact conflicts at both ends, CHECK, DEL", OURS, (host) => {
  const [container, other] = [host.addContainer(), host.addContainer()];
  const before = host.snapshot();
  const [first, count] = [2000, 30_000];
  const ipam = host.hostLocal(['10.78.0.0/24', 'fd00:78::/64']);
  const pod = addWholePod(host, network(host, shifted(first, count)), { container });
  assert.is(elementsOfSet(host.namespace, 'portmap_any_v4').length, count);
  checkWholePod(host, pod);
  for (const [port, isTaken] of [
    [first - 1, false],
    [first, true],
    [first + count - 1, true],
    [first + count, false],
  ] as const) {
    const config = network(host, [{ hostPort: port, containerPort: 80 }], { name: 'others', bridge: 'cni1', ipam });
    const outcome = host.invoke('ADD', { config, container: other });
    if (isTaken) refusalOf(outcome, 'ADD', 11, new RegExp(`host port ${port}/tcp`));
    else assert.is(outcome.code, 0, `port ${port}: ${outcome.stdout}`);
    mustPassWhole(host, 'DEL', { config, container: other });
  }
  delWholePod(host, pod);
  mustLeaveNothing(host, before);
});

/** How often a call sends something to the kernel. */
function sendsOf(host: Host, command: Command, invocation: Invocation): number {
  const trace = join(host.folder, 'trace');
  const under = ['strace', '-f', '-qq', '-e', 'trace=sendto', '-o', trace];
  const { code, stdout } = host.invoke(command, { ...invocation, under });
  assert.is(code, 0, stdout);
  return readFileSync(trace, 'utf8').split('\n').length;
}

test('ADD, CHECK and DEL ask the kernel as often for 4,000 ports as for 1,000', OURS, (host) => {
  // Once through, so that the rules are there.
  delWholePod(host, addWholePod(host, network(host, shifted(2000, 1))));
  const [few, many] = [1000, 4000].map((count) => {
    const config = network(host, shifted(2000, count), { hairpinMode: true });
    const container = host.addContainer();
    const added = sendsOf(host, 'ADD', { config, container });
    const { stdout } = host.invoke('DEL', { config, container });
    assert.is(stdout, '');
    const pod = addWholePod(host, config, { container });
    const later = { container, config: withPrevResult(config, pod.result) };
    return { ADD: added, CHECK: sendsOf(host, 'CHECK', later), DEL: sendsOf(host, 'DEL', later) };
  });
  assert.equal(many, few);
});

test(
  'UDP clients of many ports reach the pod that they sent to before it was there, and no one after it',
  OURS,
  async (host) => {
    const outside = host.addOutside();
    const first = addWholePod(host, network(host, []));
    const ports = shifted(8000, 40, { protocol: 'udp', containerPort: 7777 });
    const ask = (port: number, timeoutMs: number): string =>
      askFromPort({ from: outside, fromPort: port - 2000, address: '203.0.113.1', port, timeoutMs });
    const asked = [8000, 8020, 8039];
    // Connections are followed from the first pod on: these lead to the host itself.
    for (const port of [...asked, 8040]) assert.is(ask(port, 200), '');
    const pod = addWholePod(host, network(host, ports));
    await whileServing(pod.namespace, [pod.ipv4], () => {
      for (const port of asked) assert.is(ask(port, 3000), '203.0.113.2', String(port));
      delWholePod(host, pod);
      for (const port of asked) assert.is(ask(port, 200), '', `${port} after DEL`);
    });
    delWholePod(host, first);
  },
);

run();
