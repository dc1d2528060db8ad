// One call is one process: nothing is executed and nothing forked, whatever the network needs.

import { attachBesideNeighbour, everyFeature, networkInUse } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { mustBeOneProcess } from '../harness/one-process.ts';
import { mustAdd, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('one process');
const FORKS: Reference = { differs: 'it executes its IPAM plugin, and iptables', seen: /executes/ };

test('ADD, CHECK and DEL of a dual-stack pod with masquerading', FORKS, (host) => {
  const { config } = attachBesideNeighbour(host);
  const container = host.addContainer('traced');
  mustBeOneProcess(host, 'ADD', { config, container });
  mustBeOneProcess(host, 'DEL', { config, container });
  const later = withPrevResult(config, mustAdd(host, { config, container }));
  mustBeOneProcess(host, 'CHECK', { config: later, container });
  mustBeOneProcess(host, 'DEL', { config: later, container });
});

test('ADD, CHECK and DEL of a pod with every feature', { absent: 'ports, limits and isolation of its own' }, (host) => {
  const { config } = networkInUse(host, everyFeature(9000));
  const container = host.addContainer('traced');
  const own = { ...config, ...everyFeature(8000) };
  const { json } = mustBeOneProcess(host, 'ADD', { config: own, container });
  const later = { ...own, prevResult: json };
  mustBeOneProcess(host, 'CHECK', { config: later, container });
  mustBeOneProcess(host, 'DEL', { config: later, container });
});

test('the first ADD of a host, which makes bridge and table', FORKS, (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true, hairpinMode: true });
  mustBeOneProcess(host, 'ADD', { config, container: host.addContainer() });
});

test('ADD with static addresses', FORKS, (host) => {
  const config = host.config({ ipam: { type: 'static', addresses: [{ address: '10.77.0.9/24' }] } });
  mustBeOneProcess(host, 'ADD', { config, container: host.addContainer() });
});

test('VERSION, STATUS and GC', { absent: 'STATUS and GC' }, (host) => {
  const config = host.config({ cniVersion: '1.1.0' });
  mustBeOneProcess(host, 'VERSION', { config });
  mustBeOneProcess(host, 'STATUS', { config });
  mustBeOneProcess(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': [] } });
});

test('ADD, CHECK and DEL as loopback', 'same', (host) => {
  const config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback' };
  const container = host.addContainer();
  for (const command of ['ADD', 'CHECK', 'DEL'] as const) {
    mustBeOneProcess(host, command, { config, container, ifname: 'lo' });
  }
});

run();
