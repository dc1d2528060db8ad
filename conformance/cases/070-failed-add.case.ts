// An ADD that fails leaves nothing: no link, address, route, rule, reservation or record, and nothing of its neighbour
// is touched. Its error has a code and says what is wrong.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { everyFeature, networkInUse } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import type { Snapshot } from '../harness/snapshot.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('failed ADD');

const LEAVES_LINKS: Reference = { differs: 'it leaves the veth pair', seen: /left behind(.|\n)*link veth/ };
const INTACT_LINKS: Reference = 'same';
/** Where the next address is looked for may differ, and files that are only there to be locked do no harm. */
const HARMLESS = /last_reserved_ip\.\d+ |^\+ file \S+\/(lock|locks\/\S+) ""|^\+ folder /;

function leftSince(host: Host, before: Snapshot): string[] {
  return host.changesSince(before).filter((line) => !HARMLESS.test(line));
}

interface Failure {
  readonly title: string;
  readonly reference: Reference;
  readonly code: number;
  readonly pattern: RegExp;
  /** Make the ADD impossible; what is returned replaces parts of a proper call. */
  prepare(host: Host, pod: Namespace, config: Config): Partial<Invocation>;
}

const FAILURES: readonly Failure[] = [
  {
    title: 'a requested address that the neighbour holds',
    reference: LEAVES_LINKS,
    code: 102,
    pattern: /10\.77\.0\.2 .*held by another container/,
    prepare: () => ({ args: 'IgnoreUnknown=1;IP=10.77.0.2' }),
  },
  {
    title: 'addresses exhausted',
    reference: LEAVES_LINKS,
    code: 11,
    pattern: /no IP addresses available in range set: 10\.77\.0\.1-10\.77\.0\.2/,
    prepare: (_, __, config) => ({
      config: {
        ...config,
        ipam: { ...(config.ipam as object), ranges: [[{ subnet: '10.77.0.0/24', rangeEnd: '10.77.0.2' }]] },
      },
    }),
  },
  {
    title: 'addresses exhausted in the second range set: that of the first is free again',
    reference: LEAVES_LINKS,
    code: 11,
    pattern: /no IP addresses available in range set: fd00:77::1-fd00:77::2/,
    prepare: (_, __, config) => ({
      config: {
        ...config,
        ipam: {
          ...(config.ipam as object),
          ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/64', rangeEnd: 'fd00:77::2' }]],
        },
      },
    }),
  },
  {
    title: 'an interface of that name in the container',
    reference: INTACT_LINKS,
    code: 102,
    pattern: /"eth0" already exists/,
    prepare(_, pod) {
      pod.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other0');
      return {};
    },
  },
  {
    title: 'another kind of link in place of the bridge',
    reference: INTACT_LINKS,
    code: 102,
    pattern: /"taken0".*not a bridge/,
    prepare(host, _, config) {
      host.namespace.ip('link', 'add', 'taken0', 'type', 'veth', 'peer', 'name', 'taken1');
      return { config: { ...config, bridge: 'taken0' } };
    },
  },
  {
    title: 'another address on the bridge that is to be the gateway',
    reference: LEAVES_LINKS,
    code: 102,
    pattern: /"cni0" already has an IP address different from 10\.99\.0\.1\/24/,
    prepare: (host, _, config) => ({ config: { ...config, ipam: host.hostLocal(['10.99.0.0/24']), name: 'other' } }),
  },
  {
    title: 'VLANs on a bridge that does not filter',
    reference: { differs: 'it ignores the VLAN, or fails and leaves links', seen: /left behind|not refused/ },
    code: 100,
    pattern: /VLANs? on bridge "cni0"/,
    prepare: (_, __, config) => ({ config: { ...config, vlan: 7, isDefaultGateway: false, ipMasq: false } }),
  },
  {
    title: 'a route that the kernel refuses, the last thing of all',
    reference: LEAVES_LINKS,
    code: 100,
    pattern: /192\.0\.2\.0\/24.*(unreachable|No route|ENETUNREACH|EHOSTUNREACH)/is,
    prepare: (host, _, config) => ({
      config: {
        ...config,
        ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64'], {
          routes: [{ dst: '192.0.2.0/24', gw: '198.51.100.1' }],
        }),
      },
    }),
  },
  {
    title: 'nothing at CNI_NETNS',
    reference: 'same',
    code: 4,
    pattern: /CNI_NETNS.*nowhere/,
    prepare: () => ({ netns: '/run/netns/nowhere' }),
  },
  {
    title: 'a plain file at CNI_NETNS',
    reference: 'same',
    code: 4,
    pattern: /CNI_NETNS.*is not a network namespace/,
    prepare(host) {
      writeFileSync(join(host.folder, 'file'), '');
      return { netns: join(host.folder, 'file') };
    },
  },
  {
    title: 'a folder at CNI_NETNS',
    reference: 'same',
    code: 4,
    pattern: /CNI_NETNS.*is not a network namespace/,
    prepare(host) {
      mkdirSync(join(host.folder, 'folder'));
      return { netns: join(host.folder, 'folder') };
    },
  },
  {
    title: 'a FIFO at CNI_NETNS',
    reference: 'same',
    code: 4,
    pattern: /CNI_NETNS.*is not a network namespace/,
    prepare(host) {
      mustRun('mkfifo', [join(host.folder, 'fifo')]);
      return { netns: join(host.folder, 'fifo') };
    },
  },
  {
    title: 'a namespace of another kind at CNI_NETNS',
    reference: 'same',
    code: 4,
    pattern: /CNI_NETNS.*namespace of another kind/,
    prepare: () => ({ netns: '/proc/self/ns/uts' }),
  },
];

for (const { title, reference, code, pattern, prepare } of FAILURES) {
  test(`${title}: code ${code}`, reference, (host) => {
    const { config } = networkInUse(host);
    const pod = host.addContainer('pod');
    const invocation: Invocation = { config, container: pod, ...prepare(host, pod, config) };
    const before = host.snapshot();
    mustRefuse(host, 'ADD', invocation, code, pattern);
    mustBeEmpty(leftSince(host, before), 'left behind');
    mustPass(host, 'DEL', { config, container: pod, netns: '' });
  });
}

for (const [title, netns] of [
  ["CNI_NETNS is the host's own", (host: Host) => host.namespace.path],
  ["CNI_NETNS is the plugin's own by /proc", () => '/proc/self/ns/net'],
] as const) {
  test(`${title}: code 8 before anything is done, and DEL touches nothing of the host`, {
    differs: 'it finds out when everything has been done',
    seen: /left behind/,
  }, (host) => {
    const invocation = { config: host.config({ isDefaultGateway: true, ipMasq: true }), containerId: 'c1' };
    host.namespace.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire0');
    const before = host.snapshot();
    mustRefuse(host, 'ADD', { ...invocation, netns: netns(host) }, 8, /should not be the same/);
    mustBeEmpty(leftSince(host, before), 'left behind');
    mustPass(host, 'DEL', { ...invocation, netns: netns(host) });
    mustBeEmpty(leftSince(host, before), 'left behind');
  });
}

test('the first ADD of all takes the bridge, its address and the table back too', {
  differs: 'it leaves the bridge',
  seen: /left behind(.|\n)*cni0/,
}, (host) => {
  const ipam = host.hostLocal(['10.77.0.0/24'], { routes: [{ dst: '192.0.2.0/24', gw: '198.51.100.1' }] });
  const config = host.config({ isDefaultGateway: true, ipMasq: true, ipam });
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  mustRefuse(host, 'ADD', { config, container: pod }, 100, /192\.0\.2\.0\/24/);
  // That the host forwards may be what somebody else has come to count on.
  const left = leftSince(host, before).filter((line) => !/^[+-] host sysctl .*forward/.test(line));
  mustBeEmpty(left, 'left behind');
});

test('a second ADD of the same: code 102, and the first stays as it is', 'same', (host) => {
  const { config } = networkInUse(host);
  const invocation = { config, container: host.addContainer('pod') };
  const result = mustAdd(host, invocation);
  const attached = host.snapshot();
  mustRefuse(host, 'ADD', invocation, 102, /container "plc-\S+-pod".*attached already/);
  mustBeEmpty(host.changesSince(attached), 'changed by the second ADD');
  assert.ok(canPing(invocation.container, '10.77.0.1'));
  mustPass(host, 'CHECK', { ...invocation, config: withPrevResult(config, result) });
});

test('a host port that the neighbour has, with every feature: code 11', { absent: 'ports of its own' }, (host) => {
  const { config } = networkInUse(host, everyFeature(8000));
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  // Found out last, when queues, ifb and isolation of the port are made.
  mustRefuse(host, 'ADD', { config, container: pod }, 11, /host port 8000-8003\/tcp: another container/);
  mustBeEmpty(leftSince(host, before), 'left behind');
  const result = mustAdd(host, { config: { ...config, ...everyFeature(8100) }, container: pod });
  const later = withPrevResult({ ...config, ...everyFeature(8100) }, result);
  mustPass(host, 'CHECK', { config: later, container: pod });
});

test('after a failure the same container can be attached', LEAVES_LINKS, (host) => {
  const { config } = networkInUse(host);
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  mustRefuse(host, 'ADD', { config, container: pod, args: 'IgnoreUnknown=1;IP=10.77.0.2' }, 102, /held by/);
  mustBeEmpty(leftSince(host, before), 'left behind');
  mustAdd(host, { config, container: pod });
  assert.ok(canPing(pod, '10.77.0.1'));
});

run();
