// The routes of `host-local` and `static` as plugins of their own: every field, at every version that can hold it, as the
// plugin that asks for addresses needs them; refused at those that cannot.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('routes of IPAM plugins');
const OF_TODAY = { absent: 'routes with a table or an MTU, in the version that Debian has; 1.9.1 does the same' };

const FIELDS = { mtu: 1400, advmss: 1300, priority: 7, table: 500, scope: 253 };
const TYPES = ['host-local', 'static'];

function configOf(host: Host, type: string, cniVersion: string, routes: readonly object[]): Config {
  const ipam =
    type === 'static'
      ? { type, addresses: [{ address: '10.77.0.5/24', gateway: '10.77.0.1' }], routes }
      : host.hostLocal(['10.77.0.0/24'], { routes });
  return { cniVersion, name: 'pods', type: 'bridge', ipam };
}

for (const type of TYPES) {
  for (const cniVersion of ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    test(`${type} passes every field on at ${cniVersion}`, OF_TODAY, (host) => {
      const one = Object.entries(FIELDS).map(([key, value], i) => ({ dst: `10.${i}.0.0/16`, [key]: value }));
      const routes = [
        { dst: '10.9.0.0/16', gw: '10.77.0.1', ...FIELDS },
        ...one,
        { dst: '10.8.0.0/16', table: 0, scope: 0 },
      ];
      const config = configOf(host, type, cniVersion, routes);
      const container = host.addContainer();
      const result = mustAdd(host, { config, container, program: type });
      assert.equal(result.routes, routes);
      mustPass(host, 'DEL', { config, container, program: type });
    });
  }

  test(`${type} refuses at 0.1.0 and 0.2.0 what these cannot hold`, {
    differs: 'it leaves the fields out, and the route ends in the main table',
    seen: /not refused/,
  }, (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    for (const cniVersion of ['0.1.0', '0.2.0']) {
      for (const [key, value] of Object.entries(FIELDS)) {
        const config = configOf(host, type, cniVersion, [{ dst: '10.8.0.0/16' }, { dst: '10.9.0.0/16', [key]: value }]);
        const words = new RegExp(`"ipam\\.routes\\[1\\]\\.${key}".*cniVersion.*0\\.3\\.0`);
        mustRefuse(host, 'ADD', { config, container, program: type }, 7, words);
      }
    }
    mustBeEmpty(host.changesSince(before), 'changed');
    const config = configOf(host, type, '0.2.0', [{ dst: '10.8.0.0/16', gw: '10.77.0.1', mtu: 0 }]);
    assert.equal(mustAdd(host, { config, container, program: type }).ip4?.routes, [
      { dst: '10.8.0.0/16', gw: '10.77.0.1' },
    ]);
  });

  test(`${type} prints a route as it is written`, 'same', (host) => {
    const routes = [{ dst: '2001:db8:1ff::1/64' }, { dst: 'fd00::5/8', gw: 'fd00:77::1' }, { dst: '::1/0' }];
    const config = configOf(host, type, '1.0.0', routes);
    assert.equal(mustAdd(host, { config, container: host.addContainer(), program: type }).routes, routes);
  });
}

test(
  'podlink itself sets routes with host bits, CHECK knows them, and a default route written so is one',
  'same',
  (host) => {
    const routes = [{ dst: '2001:db8:1ff::1/64' }, { dst: '::1/0' }];
    const config = host.config({ isDefaultGateway: true, ipam: host.hostLocal(['fd00:77::/64'], { routes }) });
    const container = host.addContainer();
    const result = mustAdd(host, { config, container });
    assert.equal(
      result.routes?.map(({ dst }) => dst),
      ['2001:db8:1ff::1/64', '::1/0'],
    );
    const shown = container.ip('-6', 'route', 'show');
    assert.match(shown, /2001:db8:1ff::\/64 via fd00:77::1/);
    assert.is(shown.match(/^default/gm)?.length, 1, shown);
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container });
    mustPass(host, 'DEL', { config, container });
  },
);

run();
