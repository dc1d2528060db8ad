// A host whose FORWARD chain drops: no rule of another table can overrule that, so podlink says what the operator must
// do, and that does it.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { withPrevResult } from '../harness/verdict.ts';

const { test, run } = withQuickIpv6(cases('FORWARD drops'));

const ADVICE = { absent: 'a word about it' };

function network(host: Host): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 7777, protocol: 'tcp' }] },
  });
}

/** What CHECK says on standard error; it must pass. */
function warningsOf(host: Host, pod: Pod): string {
  const config = withPrevResult(pod.config, pod.result);
  const { code, stdout, stderr } = host.invoke('CHECK', { ...pod.invocation, config });
  assert.is(code, 0, stdout);
  return stderr;
}

/** The commands that a warning tells, in backquotes. */
function commandsOf(warning: string): string[] {
  return [...warning.matchAll(/`([^`]+)`/g)].map(([, command = '']) => command);
}

for (const [title, commands, names] of [
  ['iptables', ['iptables -P FORWARD DROP', 'ip6tables -P FORWARD DROP'], /FORWARD.*filter|filter.*FORWARD/],
  [
    'nft',
    [
      'nft add table inet firewall',
      'nft add chain inet firewall forward { type filter hook forward priority 0 ; policy drop ; }',
    ],
    /forward.*firewall|firewall.*forward/,
  ],
] as const) {
  test(
    `policy drop of ${title}: CHECK passes and warns; its commands let pods out and published ports in`,
    ADVICE,
    async (host) => {
      const outside = host.addOutside();
      for (const command of commands) host.namespace.mustRun('sh', ['-c', command.replace(/[{};]/g, '\\$&')]);
      const pod = addPod(host, network(host));
      const out = ['203.0.113.2', '2001:db8:1::2'].map((address) => ({ from: pod.namespace, address }));
      const into = ['203.0.113.1', '2001:db8:1::1'].map((address) => ({ from: outside, address, port: 8080 }));
      const seen = (timeoutMs: number): Promise<string[]> =>
        whileServing(pod.namespace, [pod.ipv4, pod.ipv6], () =>
          whileServing(outside, ['203.0.113.2', '2001:db8:1::2'], () =>
            askAll([...out, ...into].map((question) => ({ ...question, timeoutMs }))).map(({ seenFrom }) => seenFrom),
          ),
        );
      assert.equal(await seen(SILENCE_TIMEOUT_MS), ['', '', '', '']);

      const warning = warningsOf(host, pod);
      assert.match(warning, /policy drop/);
      assert.match(warning, names);
      for (const command of commandsOf(warning)) host.namespace.mustRun('sh', ['-c', command]);
      assert.equal(await seen(5000), ['203.0.113.1', '2001:db8:1::1', '203.0.113.2', '2001:db8:1::2']);
    },
  );
}

test('on a host that drops nothing CHECK has nothing to say', ADVICE, (host) => {
  const pod = addPod(host, network(host));
  assert.not.match(warningsOf(host, pod), /policy drop/);
});

run();
