// DEL and CHECK when others have changed the attachment since: renamed its interface, replaced a set, added an address.

import * as assert from 'uvu/assert';
import { attachBesideNeighbour, everyFeature } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { findLink } from '../harness/referee.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('DEL of what others have changed');
const ABSENT: Reference = { absent: 'limits, ports and a record in one plugin' };

test('DEL finds a veth pair that was renamed, although an ifb of it has kept its name', ABSENT, (host) => {
  const attached = attachBesideNeighbour(host, {}, everyFeature(8000));
  const hostEnd = attached.result.interfaces?.[1]?.name ?? '';
  for (const change of [['down'], ['name', 'renamed0'], ['up']]) {
    host.namespace.ip('link', 'set', change[0] === 'up' ? 'renamed0' : hostEnd, ...change);
  }
  mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
  assert.is(findLink(host.namespace, 'renamed0'), undefined);
  assert.is(findLink(attached.pod, 'eth0'), undefined);
  mustBeEmpty(host.leftSince(attached.before), 'left of the pod');
});

test('DEL succeeds when a map of ours was replaced by one of another type', ABSENT, (host) => {
  const attached = attachBesideNeighbour(
    host,
    {},
    {
      runtimeConfig: { portMappings: [{ hostPort: 8000, containerPort: 80, protocol: 'tcp' }] },
    },
  );
  const replace = [
    'flush chain inet podlink portmap_dnat_v4',
    'delete map inet podlink portmap_any_v4',
    'add map inet podlink portmap_any_v4 { type ipv4_addr : ipv4_addr; }',
  ];
  host.namespace.mustRun('nft', [replace.join('; ')]);
  mustRefuse(host, 'CHECK', { config: attached.later, container: attached.pod }, 101, /portmap_any_v4/);
  mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
  assert.is(findLink(attached.pod, 'eth0'), undefined);
});

test('CHECK does not mind an address that a later plugin of the list has added', 'same', (host) => {
  const { pod, config, result } = attachBesideNeighbour(host);
  pod.ip('addr', 'add', '198.51.100.7/24', 'dev', 'eth0');
  const ips = [...(result.ips ?? []), { address: '198.51.100.7/24', interface: 2 }];
  mustPass(host, 'CHECK', { config: withPrevResult(config, { ...result, ips }), container: pod });
});

run();
