import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { parseRoutes, refuseInexpressibleRoutes } from './route.ts';

const test = suite('ipam routes');

const parse = (routes: unknown) => parseRoutes(new Fields({ routes }, 'ipam'));

test('parseRoutes() reads every field and writes addresses canonically', () => {
  assert.equal(
    parse([
      { dst: '0.0.0.0/0' },
      { dst: 'FD00:0::/64', gw: 'FE80::0:1' },
      { dst: 'fd00::5/64', gw: '' },
      { dst: '10.0.0.0/8', gw: '10.1.0.1', mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 253 },
      { DST: '10.0.0.0/8', mtu: 0, advmss: 0, priority: 0, table: 0, scope: 0 },
    ]),
    [
      { dst: '0.0.0.0/0' },
      { dst: 'fd00::/64', gw: 'fe80::1' },
      { dst: 'fd00::5/64' },
      { dst: '10.0.0.0/8', gw: '10.1.0.1', mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 253 },
      { dst: '10.0.0.0/8', table: 0, scope: 0 },
    ],
  );
  assert.equal(parse(undefined), []);
  assert.equal(parse(null), []);
});

test('parseRoutes() names the key that is wrong', () => {
  for (const [route, path, message] of [
    [{}, 'ipam.routes[1].dst', /CIDR/],
    [{ dst: '10.0.0.0' }, 'ipam.routes[1].dst', /CIDR/],
    [{ dst: 'default' }, 'ipam.routes[1].dst', /CIDR/],
    [{ dst: '10.1.2.3/8' }, 'ipam.routes[1].dst', /host bits set, the network is 10\.0\.0\.0\/8/],
    [{ dst: '0.0.0.0/0', gw: '10.1.2.3/24' }, 'ipam.routes[1].gw', /must be an IP address/],
    [{ dst: '0.0.0.0/0', gw: 'fd00::1' }, 'ipam.routes[1].gw', /family of dst 0\.0\.0\.0\/0/],
    [{ dst: '0.0.0.0/0', mtu: -1 }, 'ipam.routes[1].mtu', /whole number/],
    [{ dst: '0.0.0.0/0', advmss: '1' }, 'ipam.routes[1].advmss', /whole number/],
    [{ dst: '0.0.0.0/0', priority: 1.5 }, 'ipam.routes[1].priority', /whole number/],
    [{ dst: '0.0.0.0/0', table: 2 ** 32 }, 'ipam.routes[1].table', /whole number/],
    [{ dst: '0.0.0.0/0', scope: 256 }, 'ipam.routes[1].scope', /from 0 to 255/],
    ['10.0.0.0/8', 'ipam.routes[1]', /must be an object/],
  ] as const) {
    assert.throws(
      () => parse([{ dst: '10.0.0.0/8' }, route]),
      (error: unknown) => error instanceof FieldError && error.path === path && message.test(error.message),
      JSON.stringify(route),
    );
  }
  assert.throws(() => parse({}), /"ipam\.routes": must be a list/);
});

for (const [key, value] of Object.entries({ mtu: 1400, advmss: 1360, priority: 5, table: 0, scope: 0 })) {
  test(`refuseInexpressibleRoutes() names "${key}" at 0.1.0 and 0.2.0`, () => {
    const ipam = new Fields(
      {
        routes: [
          { dst: '10.0.0.0/8', gw: '10.1.0.1' },
          { dst: '::/0', [key]: value },
        ],
      },
      'ipam',
    );
    for (const version of ['0.1.0', '0.2.0']) {
      assert.throws(
        () => refuseInexpressibleRoutes(ipam, version),
        (error: unknown) => error instanceof FieldError && error.path === `ipam.routes[1].${key}`,
      );
    }
    for (const version of ['0.3.0', '0.4.0', '1.0.0', '1.1.0']) refuseInexpressibleRoutes(ipam, version);
  });
}

test.run();
