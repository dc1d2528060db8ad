import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostInterfaceAlias, hostInterfaceName } from './marks.ts';

const test = suite('host interface name');
const key = { network: 'pods', containerId: 'c1', ifname: 'eth0' };

test('hostInterfaceName() is a link name, and always the same for the same attachment', () => {
  assert.match(hostInterfaceName(key), /^veth[0-9a-f]{11}$/);
  assert.is(hostInterfaceName(key), hostInterfaceName({ ...key }));
});

test('hostInterfaceName() differs when any part of the key does, also where the parts touch', () => {
  const names = [
    key,
    { ...key, network: 'pod', containerId: 'sc1' },
    { ...key, containerId: 'c1e', ifname: 'th0' },
    { ...key, ifname: 'eth1' },
    { ...key, containerId: 'c2' },
  ].map(hostInterfaceName);
  assert.is(new Set(names).size, names.length);
});

test('hostInterfaceAlias() fits the 255 bytes of an alias', () => {
  assert.is(hostInterfaceAlias(key), 'podlink pods c1 eth0');
  assert.is(hostInterfaceAlias({ ...key, containerId: 'x'.repeat(400) }).length, 255);
});

test.run();
