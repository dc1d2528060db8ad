// Limits beside the queues and filters of others, on the same links: nothing of theirs is changed or deleted, and what is
// in the way is named.

import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TestNamespace } from '../../kernel/testing/namespaces.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { CniError } from '../../protocol/errors.ts';
import { limit, tc, withPair } from '../testing/limited-pair.ts';

const test = suite('bandwidth beside others');

const MBIT = 1e6;
const BOTH = { ingressRate: 8 * MBIT, egressRate: 8 * MBIT };
const WITH_SUBNETS = { ...BOTH, unshapedSubnets: ['10.0.0.0/8', 'fd00::/8'] };

/** Run each line in the namespace, as an operator would type it. */
function run(host: TestNamespace, ...commands: readonly string[]): void {
  for (const command of commands) {
    execFileSync('ip', ['netns', 'exec', host.name, ...command.split(' ')], { stdio: 'pipe' });
  }
}

function filtersOf(host: TestNamespace, link: string, parent = 'ingress'): string[] {
  const text = tc(host, 'filter', 'show', 'dev', link, ...(parent === 'ingress' ? [parent] : ['parent', parent]));
  return text.split('\n').filter((line) => line.includes('flowid') || line.includes('bytecode'));
}

const qdiscsOf = (host: TestNamespace, link: string): string =>
  ['qdisc', 'class']
    .map((what) => tc(host, what, 'show', 'dev', link))
    .join('')
    .replaceAll(/refcnt \d+|direct_packets_stat \d+/g, '');

/** A program that lets everything on to the filters behind it, where ours would stand on a new link. */
function addForeignFilter(host: TestNamespace): void {
  const program = ['bpf', 'bytecode', '1,6 0 0 0'];
  tc(host, ...'filter add dev pod0 ingress prio 1 protocol all'.split(' '), ...program);
}

test('a qdisc clsact that others ask for is there already, and their filters work beside ours', () =>
  withPair((host, pod) => {
    const { check, repeat } = limit(host, pod, 'pod0', BOTH);
    assert.throws(() => run(host, 'tc qdisc add dev pod0 clsact'), /Exclusivity flag on/);
    run(host, 'tc filter add dev pod0 ingress prio 7 protocol ip u32 match ip dst 10.9.0.0/16 flowid :9');
    run(host, 'tc filter add dev pod0 egress prio 1 protocol ip u32 match ip dst 10.9.0.0/16 flowid :9');
    assert.equal(check(), []);
    repeat();
    assert.equal(check(), []);
    assert.match(tc(host, 'filter', 'show', 'dev', 'pod0', 'ingress'), /pref 7 u32/);
    assert.match(tc(host, 'filter', 'show', 'dev', 'pod0', 'egress'), /pref 1 u32/);
  }));

for (const [title, keys, ours] of [
  ['a limit of everything', BOTH, 1],
  ['subnets', WITH_SUBNETS, 3],
] as const) {
  test(`a qdisc clsact that others have put in the place of ours keeps their filters, with ${title}`, () =>
    withPair((host, pod) => {
      const { check, repeat } = limit(host, pod, 'pod0', keys);
      run(host, 'tc qdisc delete dev pod0 clsact', 'tc qdisc add dev pod0 clsact');
      addForeignFilter(host);
      assert.equal(check(), [`${ours} of ${ours} filters of "pod0" for the bandwidth limit are missing`]);
      repeat();
      assert.equal(check(), []);
      assert.equal(filtersOf(host, 'pod0').filter((line) => line.includes('bpf')).length, 1);
      for (const _ of [1, 2]) repeat();
      assert.equal([check(), filtersOf(host, 'pod0').length], [[], ours + 1]);
    }));
}

test('an ingress qdisc of an earlier version serves as well', () =>
  withPair((host, pod) => {
    const { check, repeat } = limit(host, pod, 'pod0', WITH_SUBNETS);
    run(host, 'tc qdisc delete dev pod0 clsact', 'tc qdisc add dev pod0 ingress');
    repeat();
    assert.equal(check(), []);
    assert.match(qdiscsOf(host, 'pod0'), /qdisc ingress ffff:/);
  }));

/** Root qdiscs of others, on the host's end or on the ifb, where one of ours belongs. */
const ROOTS: readonly (readonly [string, object, string, string])[] = [
  ['an htb', BOTH, 'pod0', 'htb 8:'],
  ['an htb with the handle of ours', BOTH, 'pod0', 'htb 1:'],
  ['an htb with the handle of ours, where ours is one', WITH_SUBNETS, 'pod0', 'htb 1:'],
  ['a tbf of another handle', BOTH, 'pod0', 'tbf 8:'],
  ['an htb on the ifb', { egressRate: 8 * MBIT }, 'IFB', 'htb 1:'],
];

for (const [title, keys, place, root] of ROOTS) {
  test(`${title} is in the way, and stays as it is`, () =>
    withPair((host, pod) => {
      const { check, repeat, objects } = limit(host, pod, 'pod0', keys);
      const link = place.replace('IFB', String(objects.ifb));
      const [kind = '', handle = ''] = root.split(' ');
      const options = kind === 'tbf' ? 'rate 1mbit burst 10kb limit 10kb' : 'default 1';
      run(
        host,
        `tc qdisc delete dev ${link} root`,
        `tc qdisc add dev ${link} root handle ${handle} ${kind} ${options}`,
      );
      if (kind === 'htb') {
        run(host, `tc class add dev ${link} parent ${handle} classid ${handle}1 htb rate 3mbit`);
        run(host, `tc qdisc add dev ${link} parent ${handle}1 handle 77: pfifo limit 3`);
        run(host, `tc filter add dev ${link} parent ${handle} prio 4 protocol ip u32 match u32 0 0 flowid ${handle}1`);
      }
      const theirs = (): string[] => [qdiscsOf(host, link), tc(host, 'filter', 'show', 'dev', link, 'parent', handle)];
      const before = theirs();
      assert.ok(check().length > 0);
      const error = thrownOf(CniError, repeat);
      assert.is(error.code, 102);
      assert.match(error.message, `root qdisc ${root} is in the way`);
      assert.equal(theirs(), before);
    }));
}

test('a filter of others that redirects everything elsewhere stays', () =>
  withPair((host, pod) => {
    const { check, repeat } = limit(host, pod, 'pod0', { egressRate: 8 * MBIT });
    run(
      host,
      'ip link add other0 type ifb',
      'tc qdisc delete dev pod0 clsact',
      'tc qdisc add dev pod0 clsact',
      'tc filter add dev pod0 ingress prio 3 protocol all u32 match u32 0 0 action mirred egress redirect dev other0',
    );
    repeat();
    assert.equal(check(), []);
    assert.match(tc(host, 'filter', 'show', 'dev', 'pod0', 'ingress'), /Redirect to device other0/);
  }));

test('after the ifb is deleted and made anew, each filter is there once', () =>
  withPair((host, pod) => {
    const { check, repeat, objects } = limit(host, pod, 'pod0', WITH_SUBNETS);
    run(host, `ip link delete ${objects.ifb}`);
    repeat();
    assert.equal([check(), filtersOf(host, 'pod0').length], [[], 3]);
  }));

test('what is left of an htb is completed: its class, its queue, its filters', () =>
  withPair((host, pod) => {
    const { check, repeat } = limit(host, pod, 'pod0', { ingressRate: 8 * MBIT, unshapedSubnets: ['10.0.0.0/8'] });
    for (const command of [
      'tc class change dev pod0 parent 1: classid 1:1 htb rate 1mbit',
      'tc qdisc change dev pod0 parent 1:1 bfifo limit 1kb',
      'tc filter delete dev pod0 parent 1: prio 1',
    ]) {
      run(host, command);
      assert.ok(check().length > 0, command);
      repeat();
      assert.equal(check(), [], command);
    }
    assert.is(filtersOf(host, 'pod0', '1:').length, 1);
  }));

test('a burst is warned of once, also where the ifb can have no IPv6', () =>
  withPair((host, pod) => {
    host.ip('link', 'set', 'pod0', 'mtu', '1200');
    const { warnings, check } = limit(host, pod, 'pod0', {
      ingressRate: 8 * MBIT,
      ingressBurst: 800,
      egressRate: 8 * MBIT,
      egressBurst: 2 ** 31 - 1,
    });
    assert.equal(
      warnings.map((warning) => warning.split('"')[1]),
      ['runtimeConfig.bandwidth.ingressBurst', 'runtimeConfig.bandwidth.egressBurst'],
    );
    assert.equal(check(), []);
  }));

test.run();
