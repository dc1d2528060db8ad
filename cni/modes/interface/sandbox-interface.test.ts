import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Route } from '../../protocol/result/result.ts';
import { kernelRoutes } from './sandbox-interface.ts';

const test = suite('sandbox interface');
const link = { index: 2 };
const ips = [
  { address: '10.1.2.3/24', gateway: '10.1.2.1' },
  { address: 'fd00::3/64', gateway: 'fd00::1' },
];

const rows: [title: string, routes: Route[], expected: object[]][] = [
  [
    'sends a route without gateway through the first gateway of its family',
    [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    [
      { dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex: 2 },
      { dst: '::/0', gateway: 'fd00::1', linkIndex: 2 },
    ],
  ],
  [
    'keeps the gateway a route names',
    [{ dst: '10.9.0.0/16', gw: '10.1.2.9' }],
    [{ dst: '10.9.0.0/16', gateway: '10.1.2.9', linkIndex: 2 }],
  ],
  [
    'adds a route that stands twice once, however it is spelled',
    [{ dst: '0.0.0.0/0' }, { dst: '0.0.0.0/0', gw: '10.1.2.1' }],
    [{ dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex: 2 }],
  ],
  [
    'gives a route of link scope no gateway',
    [{ dst: '10.9.0.0/16', scope: 253 }],
    [{ dst: '10.9.0.0/16', scope: 253, linkIndex: 2 }],
  ],
  [
    'cuts host bits, which the kernel refuses',
    [{ dst: '10.9.1.2/16' }],
    [{ dst: '10.9.0.0/16', gateway: '10.1.2.1', linkIndex: 2 }],
  ],
  [
    'keeps the fields of a 1.1.0 route',
    [{ dst: '10.9.0.0/16', mtu: 1400, advmss: 1360, priority: 7, table: 300, scope: 0 }],
    [
      {
        dst: '10.9.0.0/16',
        gateway: '10.1.2.1',
        linkIndex: 2,
        priority: 7,
        table: 300,
        scope: 0,
        mtu: 1400,
        advmss: 1360,
      },
    ],
  ],
];

for (const [title, routes, expected] of rows) {
  test(`kernelRoutes() ${title}`, () => {
    assert.equal(kernelRoutes({ ips, routes, dns: {} }, link), expected);
  });
}

test('kernelRoutes() leaves a route without any gateway of its family to the link', () => {
  const addressing = { ips: [{ address: '10.1.2.3/24' }], routes: [{ dst: '10.9.0.0/16' }], dns: {} };
  assert.equal(kernelRoutes(addressing, link), [{ dst: '10.9.0.0/16', linkIndex: 2 }]);
});

test.run();
