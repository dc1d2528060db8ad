import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from '../errors.ts';
import { FieldError } from '../fields.ts';
import type { Result } from './result.ts';
import { decodeResult, encodeResult } from './result-codec.ts';
import { compareVersions, SUPPORTED_VERSIONS, type SupportedVersion } from '../version.ts';

const test = suite('result-codec');

const EMPTY: Result = { interfaces: [], ips: [], routes: [], dns: {} };

/** Every field of a result has a value, and everything that 0.1.0 can say stands where 0.1.0 says it. */
const FULL: Result = {
  interfaces: [
    { name: 'cni0', mac: '02:00:00:00:00:01', mtu: 1500 },
    {
      name: 'eth0',
      mac: '02:00:00:00:00:02',
      mtu: 1450,
      sandbox: '/var/run/netns/a',
      socketPath: '/run/s',
      pciID: '0000:04:00.5',
    },
  ],
  ips: [
    { address: '10.22.0.5/16', gateway: '10.22.0.1', interface: 1 },
    { address: 'fd00::5/64', gateway: 'fd00::1', interface: 1 },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.22.0.1', mtu: 1400, advmss: 1360, priority: 10, table: 100, scope: 0 },
    { dst: '::/0', gw: 'fd00::1' },
  ],
  dns: { nameservers: ['10.22.0.1'], domain: 'example.org', search: ['a', 'b'], options: ['ndots:5'] },
};

/** Since when a field of each kind is printed: those of 1.1.0 sooner than the specification has them, as by the reference. */
const SINCE: Readonly<Record<string, SupportedVersion>> = {
  'interfaces.name': '0.3.0',
  'interfaces.mac': '0.3.0',
  'interfaces.mtu': '1.0.0',
  'interfaces.sandbox': '0.3.0',
  'interfaces.socketPath': '1.0.0',
  'interfaces.pciID': '1.0.0',
  'ips.address': '0.1.0',
  'ips.gateway': '0.1.0',
  'ips.interface': '0.3.0',
  'routes.dst': '0.1.0',
  'routes.gw': '0.1.0',
  'routes.mtu': '0.3.0',
  'routes.advmss': '0.3.0',
  'routes.priority': '0.3.0',
  'routes.table': '0.3.0',
  'routes.scope': '0.3.0',
  'dns.nameservers': '0.1.0',
  'dns.domain': '0.1.0',
  'dns.search': '0.1.0',
  'dns.options': '0.1.0',
};

/** All values of a field in a result, e.g. of `ips.gateway`, in order. */
function valuesOf(result: Result, field: string): unknown[] {
  const [part = '', key = ''] = field.split('.');
  const value: unknown = Reflect.get(result, part);
  const objects: object[] = Array.isArray(value) ? value : [value];
  return objects.map((object) => Reflect.get(object, key)).filter((entry) => entry !== undefined);
}

test('the table of fields names every field of a result, and no other', () => {
  const fields = Object.entries(FULL).flatMap(([part, value]) =>
    [value].flat().flatMap((object: object) => Object.keys(object).map((key) => `${part}.${key}`)),
  );
  assert.equal([...new Set(fields)].sort(), Object.keys(SINCE).sort());
});

let roundTrips = 0;
for (const version of SUPPORTED_VERSIONS) {
  const decoded = decodeResult(JSON.parse(encodeResult(FULL, version)), version);
  for (const [field, since] of Object.entries(SINCE)) {
    const isRepresentable = compareVersions(version, since) >= 0;
    test(`${field} ${isRepresentable ? 'survives' : 'is left out at'} ${version}`, () => {
      assert.equal(valuesOf(decoded, field), isRepresentable ? valuesOf(FULL, field) : []);
      roundTrips++;
    });
  }
}
test('every field was tried at every version', () => {
  assert.is(roundTrips, SUPPORTED_VERSIONS.length * Object.keys(SINCE).length);
});

test('encodeResult() at 1.1.0 and decodeResult() are each other inverse', () => {
  assert.equal(decodeResult(JSON.parse(encodeResult(FULL, '1.1.0')), '1.1.0'), FULL);
});

test('encodeResult() prints the shape of 0.1.0 and 0.2.0', () => {
  for (const version of ['0.1.0', '0.2.0']) {
    assert.is(
      encodeResult(FULL, version),
      JSON.stringify(
        {
          cniVersion: version,
          ip4: { ip: '10.22.0.5/16', gateway: '10.22.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.1' }] },
          ip6: { ip: 'fd00::5/64', gateway: 'fd00::1', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
          dns: FULL.dns,
        },
        undefined,
        4,
      ),
    );
  }
});

test('encodeResult() prints the shape of 0.3.0, 0.3.1 and 0.4.0', () => {
  for (const version of ['0.3.0', '0.3.1', '0.4.0']) {
    assert.is(
      encodeResult(FULL, version),
      JSON.stringify(
        {
          cniVersion: version,
          interfaces: [
            { name: 'cni0', mac: '02:00:00:00:00:01' },
            { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/var/run/netns/a' },
          ],
          ips: [
            { version: '4', interface: 1, address: '10.22.0.5/16', gateway: '10.22.0.1' },
            { version: '6', interface: 1, address: 'fd00::5/64', gateway: 'fd00::1' },
          ],
          // Its fields in the order in which they are printed.
          routes: [
            { dst: '0.0.0.0/0', gw: '10.22.0.1', mtu: 1400, advmss: 1360, priority: 10, table: 100, scope: 0 },
            { dst: '::/0', gw: 'fd00::1' },
          ],
          dns: FULL.dns,
        },
        undefined,
        4,
      ),
    );
  }
});

test('encodeResult() prints the shape of 1.0.0 and 1.1.0', () => {
  for (const cniVersion of ['1.0.0', '1.1.0']) {
    assert.equal(JSON.parse(encodeResult(FULL, cniVersion)), { cniVersion, ...FULL });
  }
});

test('encodeResult() prints an empty dns at 0.x and none at 1.x', () => {
  const result: Result = { ...EMPTY, ips: [{ address: '10.0.0.1/24' }], dns: { search: [], domain: '' } };
  for (const version of SUPPORTED_VERSIONS) {
    const document = JSON.parse(encodeResult(result, version));
    assert.equal(document.dns, version.startsWith('0.') ? {} : undefined, version);
  }
});

test('encodeResult() leaves empty lists and empty texts out, and keeps an index and a scope of 0', () => {
  const result: Result = {
    ...EMPTY,
    interfaces: [{ name: 'eth0', mac: '', sandbox: '', socketPath: '', pciID: '' }],
    ips: [{ address: '10.0.0.1/24', interface: 0 }],
  };
  const expected = { interfaces: [{ name: 'eth0' }], ips: [{ interface: 0, address: '10.0.0.1/24' }] };
  assert.equal(JSON.parse(encodeResult(result, '1.1.0')), { cniVersion: '1.1.0', ...expected });
  assert.equal(JSON.parse(encodeResult(result, '1.0.0')), { cniVersion: '1.0.0', ...expected });
  const withScope: Result = { ...EMPTY, routes: [{ dst: '10.0.0.0/8', scope: 0 }] };
  assert.equal(JSON.parse(encodeResult(withScope, '1.1.0')).routes, [{ dst: '10.0.0.0/8', scope: 0 }]);
});

test('encodeResult() at 0.2.0 takes the first address of a family and drops routes of a family that has none', () => {
  const result: Result = {
    ...EMPTY,
    ips: [{ address: '10.0.0.1/24' }, { address: '10.0.0.2/24' }],
    routes: [{ dst: '::/0' }, { dst: '10.1.0.0/16' }],
  };
  assert.equal(JSON.parse(encodeResult(result, '0.2.0')), {
    cniVersion: '0.2.0',
    ip4: { ip: '10.0.0.1/24', routes: [{ dst: '10.1.0.0/16' }] },
    dns: {},
  });
});

test('encodeResult() without an IP address is error 1 at 0.1.0 and 0.2.0, and fine later', () => {
  for (const version of SUPPORTED_VERSIONS) {
    if (compareVersions(version, '0.3.0') >= 0) {
      assert.is(JSON.parse(encodeResult(EMPTY, version)).cniVersion, version);
      continue;
    }
    assert.throws(
      () => encodeResult(EMPTY, version),
      (error: unknown) =>
        error instanceof CniError &&
        error.code === 1 &&
        error.message.includes(version) &&
        error.message.endsWith('cannot convert: no valid IP addresses'),
    );
  }
});

test('encodeResult() reads no version as 0.1.0 and refuses an unknown one', () => {
  assert.is(JSON.parse(encodeResult(FULL, '')).cniVersion, '0.1.0');
  assert.throws(() => encodeResult(FULL, '2.0.0'), /^Cannot encode a result of CNI version "2\.0\.0"$/);
});

// The ADD results of the reference plugins at the older versions, as the result they stand for.
test('decodeResult() reads 0.2.0, whose addresses belong to no interface', () => {
  const old = {
    cniVersion: '0.2.0',
    ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: [{ dst: '0.0.0.0/0' }] },
    ip6: { ip: 'fd00::3/64', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
    dns: { nameservers: ['8.8.8.8'] },
  };
  assert.equal(decodeResult(old, '1.1.0'), {
    interfaces: [],
    ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }, { address: 'fd00::3/64' }],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00::1' }],
    dns: { nameservers: ['8.8.8.8'] },
  });
});

test('decodeResult() reads 0.4.0 and keeps the fields of 1.1.0 that reference plugins print there', () => {
  const old = {
    cniVersion: '0.4.0',
    interfaces: [{ name: 'eth0', sandbox: '/ns', mtu: 1450 }],
    ips: [{ version: '4', interface: 0, address: '10.1.2.3/24' }],
    routes: [{ dst: '0.0.0.0/0', mtu: 1400 }],
    dns: {},
  };
  assert.equal(decodeResult(old, '0.4.0'), {
    interfaces: [{ name: 'eth0', sandbox: '/ns', mtu: 1450 }],
    ips: [{ address: '10.1.2.3/24', interface: 0 }],
    routes: [{ dst: '0.0.0.0/0', mtu: 1400 }],
    dns: {},
  });
});

test('decodeResult() takes the version from the result, else from the configuration, else 0.1.0', () => {
  const ip4 = { ip4: { ip: '10.0.0.1/8' } };
  const ips = { ips: [{ address: '10.0.0.1/8' }] };
  const expected: Result = { ...EMPTY, ips: [{ address: '10.0.0.1/8' }] };
  assert.equal(decodeResult({ ...ip4, cniVersion: '0.2.0' }, '1.1.0'), expected);
  assert.equal(decodeResult({ ...ips, cniVersion: '1.0.0' }, '0.2.0'), expected);
  assert.equal(decodeResult(ips, '0.3.1'), expected);
  assert.equal(decodeResult({ ...ip4, cniVersion: '' }, ''), expected);
});

test('decodeResult() matches keys in any case, takes null for absent and tolerates unknown keys', () => {
  const value = {
    CNIVersion: '1.1.0',
    Interfaces: [{ NAME: 'eth0', Mac: null, extra: 1 }],
    IPs: [{ Address: '10.0.0.1/8', Interface: 0, gateway: '' }],
    routes: null,
    DNS: { NameServers: ['1.1.1.1'], search: [] },
    more: {},
  };
  assert.equal(decodeResult(value, '1.1.0'), {
    interfaces: [{ name: 'eth0' }],
    ips: [{ address: '10.0.0.1/8', interface: 0 }],
    routes: [],
    dns: { nameservers: ['1.1.1.1'] },
  });
});

test('decodeResult() drops an interface index where no interfaces are listed', () => {
  assert.equal(decodeResult({ ips: [{ address: '10.0.0.1/8', interface: 2 }] }, '1.0.0').ips, [
    { address: '10.0.0.1/8' },
  ]);
});

const REFUSED: readonly (readonly [value: unknown, path: string, message: RegExp])[] = [
  [null, 'result', /must be an object, is null/],
  [[], 'result', /must be an object, is \[\]/],
  [{ cniVersion: '2.0.0' }, 'result.cniVersion', /must be one of 0\.1\.0, .*1\.1\.0, is "2\.0\.0"/],
  [{ cniVersion: 1 }, 'result.cniVersion', /must be a string, is 1/],
  [{ ips: {} }, 'result.ips', /must be a list/],
  [{ ips: [null] }, 'result.ips[0]', /must be an object/],
  [{ ips: [{}] }, 'result.ips[0].address', /with its prefix length.*is missing/],
  [{ ips: [{ address: '10.0.0.1' }] }, 'result.ips[0].address', /with its prefix length.*is "10\.0\.0\.1"/],
  [{ ips: [{ address: '10.0.0.1/33' }] }, 'result.ips[0].address', /10\.0\.0\.1\/33/],
  [{ ips: [{ address: '10.0.0.1/08' }] }, 'result.ips[0].address', /08/],
  [{ ips: [{ address: '10.0.0.1/8/8' }] }, 'result.ips[0].address', /8\/8/],
  [{ ips: [{ address: 'fe80::1%eth0/64' }] }, 'result.ips[0].address', /%eth0/],
  [{ ips: [{ address: 'fd00::1/129' }] }, 'result.ips[0].address', /129/],
  [{ ips: [{ address: '10.0.0.1/8', gateway: '10.0.0.1/8' }] }, 'result.ips[0].gateway', /must be an IP address/],
  [
    { interfaces: [{ name: 'a' }], ips: [{ address: '10.0.0.1/8', interface: 1 }] },
    'result.ips[0].interface',
    /index of one of the result's 1 interfaces, is 1/,
  ],
  [{ ips: [{ address: '10.0.0.1/8', interface: -1 }] }, 'result.ips[0].interface', /whole number from 0/],
  [{ ips: [{ address: '10.0.0.1/8', interface: 0.5 }] }, 'result.ips[0].interface', /whole number/],
  [{ interfaces: [{}] }, 'result.interfaces[0].name', /is missing/],
  [{ interfaces: [{ name: 'a', mtu: '1500' }] }, 'result.interfaces[0].mtu', /whole number/],
  [{ routes: [{ dst: 'default' }] }, 'result.routes[0].dst', /is "default"/],
  [{ routes: [{ dst: '::/0', gw: 'gateway' }] }, 'result.routes[0].gw', /must be an IP address/],
  [{ routes: [{ dst: '::/0', scope: 256 }] }, 'result.routes[0].scope', /from 0 to 255/],
  [{ dns: { search: 'a' } }, 'result.dns.search', /must be a list/],
  [{ dns: { nameservers: [1] } }, 'result.dns.nameservers[0]', /must be a string/],
  [{ cniVersion: '0.2.0', ip4: {} }, 'result.ip4.ip', /is missing/],
  [{ cniVersion: '0.1.0', ip6: { ip: 'fd00::1/64', routes: [{}] } }, 'result.ip6.routes[0].dst', /is missing/],
];
for (const [value, path, message] of REFUSED) {
  test(`decodeResult() refuses ${JSON.stringify(value)}`, () => {
    assert.throws(
      () => decodeResult(value, '1.1.0'),
      (error: unknown) => error instanceof FieldError && error.path === path && message.test(error.message),
    );
  });
}

test.run();
