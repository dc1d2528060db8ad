// A key that stands twice in one JSON object of the input: refused by name, in ADD, CHECK, STATUS and `validate`; no reason
// for a DEL to fail.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustEnd } from '../harness/operator-command.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('duplicate keys');
const OURS = { differs: 'only its tuning, and only for sysctl, notices', seen: /not refused|fails/ };

/** Text to put behind the opening brace of the configuration, and the key that is then named. */
const TWICE: readonly (readonly [string, string])[] = [
  ['"bridge":"cni9",', 'bridge'],
  ['"\\u0062ridge":"cni9",', 'bridge'],
  ['"sysctl":{"net.core.somaxconn":"1","net.core.somaxconn":"2"},', 'sysctl\\.net\\.core\\.somaxconn'],
  ['"overrides":[{"pod":"a/*","mode":"none"},{"pod":"b/*","mode":"none","mode":"host"}],', 'overrides\\[1\\]\\.mode'],
  ['"runtimeConfig":{"mac":"02:00:00:00:00:01", "mac" : "02:00:00:00:00:02"},', 'runtimeConfig\\.mac'],
  ['"prevResult":{"cniVersion":"1.1.0","ips":[],"ips":[]},', 'prevResult\\.ips'],
  ['"args":{"cni":{"ips":[{"a":[{"b":1,"b":{}}]}]}},', 'args\\.cni\\.ips\\[0\\]\\.a\\[0\\]\\.b'],
];

test('is refused by ADD, CHECK and STATUS, which name it, and ignored by DEL and GC', OURS, (host) => {
  const text = JSON.stringify(host.config({ cniVersion: '1.1.0' }));
  const container = host.addContainer();
  const before = host.snapshot();
  for (const [more, path] of TWICE) {
    const config = `{${more}${text.slice(1)}`;
    const words = new RegExp(`Invalid "${path}": duplicated`);
    for (const command of ['ADD', 'CHECK', 'STATUS'] as const)
      mustRefuse(host, command, { config, container }, 7, words);
    mustPass(host, 'DEL', { config, container });
    mustPass(host, 'GC', { config, container });
  }
  mustBeEmpty(host.leftSince(before), 'changed');
});

test('is found by validate, in a list too', { absent: 'validate' }, (host) => {
  const list = '{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"podlink","mtu":1400,"ipMasq":true,"mtu":1500}]}';
  const { stdout } = mustEnd(host, ['validate', '--no-kernel', '-'], 1, list);
  assert.match(stdout, /error .*Invalid "plugins\[0\]\.mtu": duplicated/);
});

test('the same key in two objects, in other case where case counts, and inside of texts, is none', 'same', (host) => {
  const sysctl = { 'net.core.somaxconn': '100', 'net.ipv4.conf.IFNAME.arp_notify': '1' };
  const config = host.config({ sysctl, args: { cni: { labels: [{ a: '"a":1', A: ':' }, { a: '\\":' }] } } });
  const container = host.addContainer();
  mustAdd(host, { config: JSON.stringify(config, undefined, 2).replaceAll('": ', '"\t:\n'), container });
  mustPass(host, 'DEL', { config, container });
});

run();
