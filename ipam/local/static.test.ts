import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import type { IpamRequest } from '../driver.ts';
import { IpamError, type IpamErrorKind } from '../errors.ts';
import { findIpamDriver } from '../registry.ts';
import { staticIpam } from './static.ts';

const test = suite('ipam static');

interface Asked {
  ipam?: object;
  runtimeConfig?: object;
  argsCni?: object;
  cniArgs?: Record<string, string>;
  cniVersion?: string;
  warn?: (message: string) => void;
}

function request({
  ipam = {},
  runtimeConfig = {},
  argsCni = {},
  cniArgs = {},
  cniVersion = '1.1.0',
  warn,
}: Asked): IpamRequest {
  return {
    owner: { network: 'pods', containerId: 'alice', ifname: 'eth0' },
    cniVersion,
    ipam: new Fields(ipam, 'ipam'),
    runtimeConfig: new Fields(runtimeConfig, 'runtimeConfig'),
    argsCni: new Fields(argsCni, 'args.cni'),
    cniArgs: new Map(Object.entries(cniArgs)),
    lockDirectory() {
      throw new Error('static keeps nothing that would need a lock');
    },
    ...(warn ? { warn } : {}),
  };
}

const allocate = (asked: Asked) => staticIpam.prepare(request(asked)).allocate();
const isIpamError = (kind: IpamErrorKind, pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === kind && pattern.test(error.message);

const addresses = [{ address: '10.1.0.5/24', gateway: '10.1.0.1' }, { address: 'FD00::0:5/64' }];

test('allocate() answers what is configured', () => {
  assert.equal(
    allocate({ ipam: { addresses, routes: [{ dst: '0.0.0.0/0', mtu: 1400 }], dns: { nameservers: ['192.0.2.1'] } } }),
    {
      ips: [{ address: '10.1.0.5/24', gateway: '10.1.0.1' }, { address: 'fd00::5/64' }],
      routes: [{ dst: '0.0.0.0/0', mtu: 1400 }],
      dns: { nameservers: ['192.0.2.1'] },
    },
  );
  assert.equal(allocate({}), { ips: [], routes: [], dns: {} });
});

test('allocate() adds CNI_ARGS, and lets args.cni and then runtimeConfig replace', () => {
  for (const [asked, expected] of [
    [
      { ipam: { addresses }, cniArgs: { IP: '10.2.0.5/24, fd01::5/64', GATEWAY: '10.2.0.1,fd01::1' } },
      ['10.1.0.5/24 10.1.0.1', 'fd00::5/64 -', '10.2.0.5/24 10.2.0.1', 'fd01::5/64 fd01::1'],
    ],
    [{ ipam: { addresses }, cniArgs: { GATEWAY: '10.1.0.254' } }, ['10.1.0.5/24 10.1.0.254', 'fd00::5/64 -']],
    [{ ipam: { addresses }, argsCni: { ips: ['10.3.0.5/16'] } }, ['10.3.0.5/16 -']],
    [
      { ipam: { addresses }, argsCni: { ips: ['10.3.0.5/16'] }, runtimeConfig: { ips: ['10.4.0.5/16'] } },
      ['10.4.0.5/16 -'],
    ],
    [{ ipam: { addresses }, argsCni: { ips: [] } }, ['10.1.0.5/24 10.1.0.1', 'fd00::5/64 -']],
    [{ ipam: { addresses: [{ address: '::10.1.0.5/120', gateway: '' }] } }, ['::a01:5/120 -']],
  ] as [Asked, string[]][]) {
    assert.equal(
      allocate(asked).ips.map(({ address, gateway }) => `${address} ${gateway ?? '-'}`),
      expected,
      JSON.stringify(asked),
    );
  }
});

test('prepare() warns of a gateway that no address can reach', () => {
  const warnings: string[] = [];
  allocate({ ipam: { addresses }, cniArgs: { GATEWAY: '192.0.2.1' }, warn: (message) => void warnings.push(message) });
  assert.match(warnings.join(), /GATEWAY" 192\.0\.2\.1 is in the subnet of no address/);
});

test('prepare() names the key that is wrong, status() too, and release() does not care', () => {
  for (const [asked, path, message] of [
    [
      { ipam: { addresses: [{}] } },
      'ipam.addresses[0].address',
      /the 'address' field is expected to be in CIDR notation, got: ''/,
    ],
    [{ ipam: { addresses: [{ address: '10.1.0.5' }] } }, 'ipam.addresses[0].address', /got: '10\.1\.0\.5'/],
    [
      { ipam: { addresses: [{ address: '10.1.0.5/24', gateway: 'x' }] } },
      'ipam.addresses[0].gateway',
      /must be an IP address/,
    ],
    [
      { ipam: { addresses: [{ address: '10.1.0.5/24', gateway: 'fd00::1' }] } },
      'ipam.addresses[0].gateway',
      /family of address/,
    ],
    [{ ipam: { addresses: {} } }, 'ipam.addresses', /must be a list/],
    [
      { argsCni: { ips: ['10.1.0.5'] } },
      'args.cni.ips[0]',
      /an entry in the 'ips' field is NOT in CIDR notation, got: '10\.1\.0\.5'/,
    ],
    [{ runtimeConfig: { ips: ['10.1.0.5/24', 'fe80::1%eth0/64'] } }, 'runtimeConfig.ips[1]', /NOT in CIDR notation/],
    [{ ipam: { routes: [{ dst: '1' }] } }, 'ipam.routes[0].dst', /CIDR/],
    [{ ipam: { dns: 4 } }, 'ipam.dns', /must be an object/],
  ] as [Asked, string, RegExp][]) {
    for (const call of [staticIpam.prepare, staticIpam.status]) {
      assert.throws(
        () => call(request(asked)),
        (error: unknown) => error instanceof FieldError && error.path === path && message.test(error.message),
        path,
      );
    }
    staticIpam.release(request(asked));
  }
});

test('prepare() refuses bad CNI_ARGS, an address given twice, and two of a family before CNI 0.3.0', () => {
  for (const [asked, kind, message] of [
    [
      { cniArgs: { IP: '10.1.0.5' } },
      'argument',
      /the 'ip' field is expected to be in CIDR notation, got: '10\.1\.0\.5'/,
    ],
    [{ cniArgs: { IP: '10.1.0.5/24,' } }, 'argument', /got: ''/],
    [{ cniArgs: { GATEWAY: '10.1.0.1/24' } }, 'argument', /invalid gateway address: 10\.1\.0\.1\/24/],
    [
      { ipam: { addresses }, cniArgs: { IP: '10.1.0.5/24' } },
      'config',
      /10\.1\.0\.5\/24 of network "pods" is given twice/,
    ],
    [
      { ipam: { addresses }, cniArgs: { IP: '10.1.0.6/24' }, cniVersion: '0.2.0' },
      'config',
      /more than 1 address per family/,
    ],
  ] as [Asked, IpamErrorKind, RegExp][]) {
    assert.throws(() => allocate(asked), isIpamError(kind, message), JSON.stringify(asked));
  }
  assert.is(allocate({ ipam: { addresses }, cniVersion: '0.2.0' }).ips.length, 2);
});

test('check() wants every configured address, with its gateway', () => {
  const asked = request({ ipam: { addresses } });
  staticIpam.check(asked, ['10.1.0.5/24', 'fd00::5/64']);
  staticIpam.check(asked, [
    { address: '10.1.0.5/24', gateway: '10.1.0.1' },
    { address: 'FD00:0::5/64', gateway: 'fd00::1' },
    '10.9.0.1/8',
  ]);
  assert.throws(
    () => staticIpam.check(asked, ['10.1.0.5/24']),
    isIpamError('missing', /Address fd00::5\/64 of container "alice"/),
  );
  assert.throws(
    () => staticIpam.check(asked, ['10.1.0.5/16', 'fd00::5/64']),
    isIpamError('missing', /10\.1\.0\.5\/24/),
  );
  for (const gateway of [{}, { gateway: '10.1.0.2' }]) {
    assert.throws(
      () => staticIpam.check(asked, [{ address: '10.1.0.5/24', ...gateway }, 'fd00::5/64']),
      isIpamError('missing', /Gateway of 10\.1\.0\.5\/24 .* must be 10\.1\.0\.1/),
    );
  }
});

test('collect() has nothing to collect', () => {
  assert.equal(staticIpam.collect(request({}), []), []);
});

test('findIpamDriver() knows both types and no other', () => {
  assert.is(findIpamDriver('static'), staticIpam);
  assert.is(findIpamDriver('host-local')?.type, 'host-local');
  assert.is(findIpamDriver('dhcp'), undefined);
  assert.is(findIpamDriver(''), undefined);
});

test.run();
