import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attached } from '../attachment/attachment.ts';
import type { Result } from '../protocol/result/result.ts';
import { encodeResult, decodeResult } from '../protocol/result/result-codec.ts';
import { unsaidIn } from '../protocol/result/unsaid.ts';
import { SUPPORTED_VERSIONS } from '../protocol/version.ts';
import { completeResult } from './told-result.ts';

const test = suite('told result');

const OWN: Attached = {
  interfaces: [
    { name: 'cni0', mac: '02:00:00:00:00:01', mtu: 1500 },
    { name: 'veth1', mac: '02:00:00:00:00:02', mtu: 1500 },
    { name: 'eth0', mac: '02:00:00:00:00:03', mtu: 1500, sandbox: '/run/netns/a' },
  ],
  ips: [
    { address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 2 },
    { address: '10.2.0.2/24', gateway: '10.2.0.1', interface: 2 },
    { address: 'fd00::2/64', gateway: 'fd00::1', interface: 2 },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.1.0.1', priority: 1 },
    { dst: '192.0.2.0/24', table: 100, mtu: 1400, advmss: 1300 },
    { dst: '192.0.2.0/24', scope: 253 },
    { dst: '::/0', gw: 'fd00::1', priority: 1025 },
  ],
  dns: { nameservers: ['10.1.0.53'] },
};

for (const version of SUPPORTED_VERSIONS) {
  test(`what ${version} says of a result is completed to the whole of it`, () => {
    const told = decodeResult(JSON.parse(encodeResult(OWN as Result, version)), version);
    const { interfaces, ips, routes, dns, unsaid } = completeResult(told, unsaidIn(version), OWN);
    assert.equal(routes, OWN.routes);
    assert.equal(ips, OWN.ips);
    assert.equal(
      interfaces.map(({ mtu: _, ...rest }) => rest),
      OWN.interfaces.map(({ mtu: _, ...rest }) => rest),
    );
    assert.equal(dns, OWN.dns);
    assert.is(unsaid, undefined);
  });
}

test('what a result does say is kept, though the record has it otherwise', () => {
  const told: Result = {
    interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:99', sandbox: '/run/netns/a' }],
    ips: [{ address: '10.1.0.9/24', interface: 0 }],
    routes: [{ dst: '198.51.100.0/24' }, { dst: '::/0', gw: 'FD00::1' }],
    dns: {},
  };
  const expected = completeResult(told, unsaidIn('1.0.0'), OWN);
  assert.equal(expected.interfaces, told.interfaces);
  assert.equal(expected.ips, told.ips);
  assert.equal(expected.routes, [{ dst: '198.51.100.0/24' }, { dst: '::/0', gw: 'FD00::1', priority: 1025 }]);
});

test('an address that a result of 0.2.0 has and the record has not is on no interface that is known', () => {
  const told: Result = { interfaces: [], ips: [{ address: '10.9.0.2/24' }], routes: [], dns: {} };
  const { ips } = completeResult(told, unsaidIn('0.2.0'), OWN);
  assert.equal(ips, [...OWN.ips, { address: '10.9.0.2/24' }]);
});

test('without a record it is said what cannot be known', () => {
  const told: Result = { interfaces: [], ips: [], routes: [], dns: {} };
  assert.equal(completeResult(told, unsaidIn('0.2.0'), undefined).unsaid, { interfaces: true, routeAttributes: true });
  assert.equal(completeResult(told, unsaidIn('0.3.0'), undefined).unsaid, { interfaces: false, routeAttributes: true });
  assert.equal(completeResult(told, unsaidIn('1.1.0'), undefined).unsaid, {
    interfaces: false,
    routeAttributes: false,
  });
});

test.run();
