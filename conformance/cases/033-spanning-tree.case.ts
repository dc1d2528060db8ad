// An adopted bridge that runs STP: a new port forwards only after twice its forward delay, and ADD and doctor say so.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { delPod } from '../harness/pod.ts';
import { resultOf } from '../harness/verdict.ts';

const { test, run } = cases('a bridge with STP');

function adopt(host: Host, ...settings: readonly string[]): void {
  host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge', ...settings);
  host.namespace.ip('link', 'set', 'cni0', 'up');
}

interface Finding {
  readonly level: string;
  readonly subject: string;
  readonly what: string;
  readonly meaning?: string;
}

function findings(host: Host): Finding[] {
  const dir = writeConfDir(host, [host.config()]);
  const doctor = ['doctor', '--conf-dir', dir, '--bin-dir', host.pluginFolder];
  return mustTell<Finding[]>(host, doctor).filter(({ subject }) => subject === 'bridges');
}

for (const [delay, says] of [
  ['1500', /Bridge "cni0" runs STP with a forward delay of 15 s: .* reaches nobody by "eth0" for 30 s/],
  ['250', /Bridge "cni0" runs STP with a forward delay of 2\.5 s: .* for 5 s/],
] as const) {
  test(`ADD and doctor name STP and a delay of ${delay} hundredths`, NO_COMMANDS, (host) => {
    adopt(host, 'stp_state', '1', 'forward_delay', delay);
    const [config, container] = [host.config(), host.addContainer()];
    const outcome = host.invoke('ADD', { config, container });
    const result = resultOf(outcome, config);
    assert.match(outcome.stderr, says);
    const [finding, ...others] = findings(host);
    assert.is(others.length, 0);
    assert.is(finding?.level, 'warn');
    assert.match(finding?.what ?? '', /bridge "cni0" runs STP with a forward delay of/);
    delPod(host, { namespace: container, config, invocation: { config, container }, result, ipv4: '', ipv6: '' });
  });
}

test('without STP the delay has no meaning, and nobody speaks of it', NO_COMMANDS, (host) => {
  adopt(host, 'forward_delay', '1500');
  const outcome = host.invoke('ADD', { config: host.config(), container: host.addContainer() });
  assert.is(outcome.code, 0, outcome.stdout);
  assert.is(outcome.stderr, '');
  assert.equal(findings(host), []);
});

run();
