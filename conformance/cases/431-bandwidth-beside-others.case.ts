// Limits on links where others have queues and filters of their own, as agents for policies and metering do: the limits
// are made and repaired beside them, and nothing of theirs is deleted.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { podlink } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod, hostEndOf } from '../harness/pod.ts';
import { mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('bandwidth beside others');

const OURS = { absent: 'repair of what others have replaced' };
const BANDWIDTH = { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 40e6, egressBurst: 4e6 };

const network = (host: Host) => host.config({ isDefaultGateway: true, runtimeConfig: { bandwidth: BANDWIDTH } });
const tc = (host: Host, ...words: readonly string[]): string => host.namespace.mustRun('tc', words);
const say = (host: Host, command: string): string => tc(host, ...command.split(' '));
const repair = (host: Host) => podlink(host, ['repair', '--bin-dir', host.pluginFolder]);

test(
  "an agent's clsact with its own filter in the place of ours stays, and the limit is made again beside it",
  OURS,
  (host) => {
    const pod = addPod(host, network(host));
    const config = withPrevResult(pod.config, pod.result);
    const link = hostEndOf(host, pod).ifname;
    say(host, `qdisc replace dev ${link} clsact`);
    tc(host, ...`filter replace dev ${link} ingress prio 1 protocol all bpf bytecode`.split(' '), '1,6 0 0 0');
    checkPod(host, pod);
    say(host, `qdisc del dev ${link} clsact`);
    say(host, `qdisc add dev ${link} clsact`);
    tc(host, ...`filter add dev ${link} ingress prio 1 protocol all bpf bytecode`.split(' '), '1,6 0 0 0');
    mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, /1 of 1 filters of "veth\w+" .* are missing/);
    const { code, stdout, stderr } = repair(host);
    assert.is(code, 0, stdout + stderr);
    checkPod(host, pod);
    assert.match(say(host, `filter show dev ${link} ingress`), /pref 1 bpf/);
  },
);

test(
  "a root qdisc of an agent's is named by CHECK and by repair, and stays until its owner takes it away",
  OURS,
  (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    const pod = addPod(host, network(host), { container });
    const config = withPrevResult(pod.config, pod.result);
    const link = hostEndOf(host, pod).ifname;
    say(host, `qdisc del dev ${link} root`);
    say(host, `qdisc add dev ${link} root handle 1: htb default 7`);
    say(host, `class add dev ${link} parent 1: classid 1:1 htb rate 3mbit`);
    // But for the packets that have passed meanwhile.
    const theirs = (): string =>
      ['qdisc', 'class']
        .map((what) => say(host, `${what} show dev ${link}`).replace(/direct_packets_stat \d+/, ''))
        .join('');
    const seen = theirs();
    mustRefuse(
      host,
      'CHECK',
      { ...pod.invocation, config },
      101,
      /root qdisc of "veth\w+" is htb 1: instead of tbf 1:/,
    );
    const { code, stdout } = repair(host);
    assert.is(code, 1);
    assert.match(stdout, /root qdisc htb 1: is in the way/);
    assert.is(theirs(), seen);
    say(host, `qdisc del dev ${link} root`);
    assert.is(repair(host).code, 0);
    checkPod(host, pod);
    delPod(host, pod);
    mustLeaveNothing(host, before, 'left of a limited container');
  },
);

run();
