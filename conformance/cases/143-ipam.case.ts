// Bad IPAM sections: host-local and static, within podlink and as plugins of their own.

import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';

const { test, run } = cases('bad IPAM', { shared: true });
const OURS = { absent: 'the code and the text of the error; it accepts some of these' } as const;
const SUBNET = '10.77.0.0/24';

/** A row whose `ipam` is host-local with these keys in place of its own. */
function ranged(host: Host, what: string, keys: object, says: RegExp, code = 7): BadInput {
  return { what, code, says, config: { ipam: { type: 'host-local', dataDir: host.dataDir, ...keys } } };
}

const range = (keys: object) => ({ ranges: [[{ subnet: SUBNET, ...keys }]] });
const AT = String.raw`"ipam\.ranges\[0\]\[0\]\.`;

test('ranges that cannot be are refused by the path of their key', OURS, (host) => {
  const row = (what: string, keys: object, says: RegExp) => ranged(host, what, keys, says);
  const at = (key: string, rest = '') => new RegExp(`${AT}${key}"${rest}`);
  mustRefuseEach(host, host.addContainer(), [
    row('none', {}, /network "pods".*"ranges" or "subnet"/),
    row('empty', { ranges: [] }, /"ranges" or "subnet"/),
    row('no list', { ranges: SUBNET }, /"ipam\.ranges": must be a list/),
    row('list of ranges', { ranges: [{ subnet: SUBNET }] }, /"ipam\.ranges\[0\]": must be a list of ranges/),
    row('empty set', { ranges: [[]] }, /"ipam\.ranges\[0\]": empty range set/),
    row('range is a text', { ranges: [[SUBNET]] }, /"ipam\.ranges\[0\]\[0\]": must be an object/),
    row('no subnet', { ranges: [[{}]] }, at('subnet')),
    row('subnet is a number', range({ subnet: 10 }), at('subnet', '.*10')),
    row('no prefix', range({ subnet: '10.77.0.0' }), at('subnet', '.*10\\.77\\.0\\.0')),
    row('no address', range({ subnet: 'pods/24' }), at('subnet', '.*pods/24')),
    row('prefix too long', range({ subnet: '10.77.0.0/33' }), at('subnet')),
    row('leading zero', range({ subnet: '010.77.0.0/24' }), at('subnet')),
    row('host bits', range({ subnet: '10.77.0.5/24' }), at('subnet', '.*host bits.*10\\.77\\.0\\.0')),
    row('too small', range({ subnet: '10.77.0.0/31' }), at('subnet', '.*too small')),
    row('too small, v6', range({ subnet: 'fd00::/127' }), at('subnet', '.*too small')),
    row('start outside', range({ rangeStart: '10.78.0.1' }), at('rangeStart', '.*10\\.78\\.0\\.1 not in network')),
    row('end outside', range({ rangeEnd: '10.76.0.1' }), at('rangeEnd', '.*10\\.76\\.0\\.1 not in network')),
    row('start after end', range({ rangeStart: '10.77.0.9', rangeEnd: '10.77.0.5' }), at('rangeStart', '.*after')),
    row('start of another family', range({ rangeStart: 'fd00::1' }), at('rangeStart')),
    row('only the broadcast address', range({ rangeStart: '10.77.0.255' }), at('rangeStart', '.*no address')),
    row('start is none', range({ rangeStart: 'first' }), at('rangeStart', '.*"first"')),
    row('start with a prefix', range({ rangeStart: '10.77.0.5/24' }), at('rangeStart')),
    row('gateway is none', range({ gateway: '10.77.0.256' }), at('gateway', '.*10\\.77\\.0\\.256')),
    row('gateway of another family', range({ gateway: 'fd00::1' }), at('gateway', '.*family')),
    row(
      'mixed',
      { ranges: [[{ subnet: SUBNET }, { subnet: 'fd00::/64' }]] },
      /"ipam\.ranges\[0\]\[1\]\.subnet": mixed/,
    ),
    row(
      'overlap in a set',
      { ranges: [[{ subnet: SUBNET }, { subnet: '10.77.0.0/16' }]] },
      /"ipam\.ranges\[0\]\[1\]".*overlap/,
    ),
    row('overlap of sets', { ranges: [[{ subnet: SUBNET }], [{ subnet: SUBNET }]] }, /"ipam\.ranges\[1\]".*overlaps/),
    row('the old key', { subnet: '10.77.0.1/24' }, /"ipam\.subnet".*host bits/),
    row('the old keys', { subnet: SUBNET, gateway: 'x' }, /"ipam\.gateway".*"x"/),
  ]);
});

test('the other keys of host-local are refused by name', OURS, (host) => {
  const row = (what: string, keys: object, says: RegExp) =>
    ranged(host, what, { ranges: [[{ subnet: SUBNET }]], ...keys }, says);
  mustRefuseEach(host, host.addContainer(), [
    row('relative dataDir', { dataDir: 'networks' }, /"ipam\.dataDir": must be an absolute path, is "networks"/),
    row('dataDir is a number', { dataDir: 1 }, /"ipam\.dataDir": must be a string/),
    row('resolvConf that is not there', { resolvConf: '/nowhere' }, /"ipam\.resolvConf".*\/nowhere/),
    row('resolvConf is a folder', { resolvConf: '/' }, /"ipam\.resolvConf"/),
    row('routes', { routes: {} }, /"ipam\.routes": must be a list/),
    row('route is a text', { routes: ['0.0.0.0/0'] }, /"ipam\.routes\[0\]": must be an object/),
    row('route without dst', { routes: [{ gw: '10.77.0.1' }] }, /"ipam\.routes\[0\]\.dst"/),
    row('dst without prefix', { routes: [{ dst: '10.0.0.1' }] }, /"ipam\.routes\[0\]\.dst".*10\.0\.0\.1/),
    row('dst with host bits', { routes: [{ dst: '10.0.0.1/8' }] }, /"ipam\.routes\[0\]\.dst".*host bits/),
    row('gw is none', { routes: [{ dst: '0.0.0.0/0', gw: 'x' }] }, /"ipam\.routes\[0\]\.gw".*"x"/),
    row('gw of another family', { routes: [{ dst: '0.0.0.0/0', gw: 'fd00::1' }] }, /"ipam\.routes\[0\]\.gw".*family/),
    row(
      'route mtu',
      { routes: [{ dst: '0.0.0.0/0', mtu: '1400' }] },
      /"ipam\.routes\[0\]\.mtu": must be a whole number/,
    ),
    row('route scope', { routes: [{ dst: '0.0.0.0/0', scope: 256 }] }, /"ipam\.routes\[0\]\.scope".*is 256/),
  ]);
});

test('addresses asked for that cannot be had are refused, wherever they stand', OURS, (host) => {
  const row = (what: string, config: object, says: RegExp, code = 7): BadInput => ({
    what,
    code,
    says,
    config: { ...config },
  });
  mustRefuseEach(host, host.addContainer(), [
    row('args', { args: { cni: { ips: ['10.77.0'] } } }, /"args\.cni\.ips\[0\]".*"10\.77\.0"/),
    row('args, no list', { args: { cni: { ips: '10.77.0.5' } } }, /"args\.cni\.ips": must be a list/),
    row('capability', { runtimeConfig: { ips: [5] } }, /"runtimeConfig\.ips\[0\]": must be a string, is 5/),
    row('in no range', { runtimeConfig: { ips: ['10.9.0.5/24'] } }, /10\.9\.0\.5.*10\.77\.0\.1-10\.77\.0\.254/),
    row('two of one set', { runtimeConfig: { ips: ['10.77.0.5', '10.77.0.6'] } }, /10\.77\.0\.5 and 10\.77\.0\.6/),
    row('ipRanges', { runtimeConfig: { ipRanges: {} } }, /"runtimeConfig\.ipRanges": must be a list/),
    row(
      'a range of ipRanges',
      { runtimeConfig: { ipRanges: [[{ subnet: 'x' }]] } },
      /"runtimeConfig\.ipRanges\[0\]\[0\]\.subnet"/,
    ),
    row('ipRanges that overlap', { runtimeConfig: { ipRanges: [[{ subnet: SUBNET }]] } }, /overlaps/),
  ]);
});

test('static addresses that cannot be are refused by the path of their key', OURS, (host) => {
  const row = (what: string, ipam: object, says: RegExp): BadInput => ({
    what,
    code: 7,
    says,
    config: { ipam: { type: 'static', ...ipam } },
  });
  const address = '10.77.0.5/24';
  mustRefuseEach(host, host.addContainer(), [
    row('no list', { addresses: address }, /"ipam\.addresses": must be a list/),
    row('a text', { addresses: [address] }, /"ipam\.addresses\[0\]": must be an object/),
    row('no address', { addresses: [{}] }, /"ipam\.addresses\[0\]\.address".*CIDR/),
    row('no prefix', { addresses: [{ address: '10.77.0.5' }] }, /"ipam\.addresses\[0\]\.address".*CIDR.*10\.77\.0\.5/),
    row('second', { addresses: [{ address }, { address: 'x/24' }] }, /"ipam\.addresses\[1\]\.address"/),
    row('gateway', { addresses: [{ address, gateway: 'x' }] }, /"ipam\.addresses\[0\]\.gateway".*"x"/),
    row(
      'gateway of another family',
      { addresses: [{ address, gateway: 'fd00::1' }] },
      /"ipam\.addresses\[0\]\.gateway".*family/,
    ),
    row('twice', { addresses: [{ address }, { address }] }, /10\.77\.0\.5\/24.*twice/),
    row('routes', { addresses: [{ address }], routes: [{ dst: 'x' }] }, /"ipam\.routes\[0\]\.dst"/),
    row('dns', { addresses: [{ address }], dns: { search: 'x' } }, /"ipam\.dns\.search": must be a list/),
  ]);
});

test('as plugins of their own they refuse the same', OURS, (host) => {
  const row = (type: string, ipam: object | undefined, says: RegExp): BadInput => ({
    what: type,
    code: 7,
    says,
    config: { type, ipam },
  });
  mustRefuseEach(host, host.addContainer(), [
    row('host-local', undefined, /'ipam'/),
    row('static', undefined, /'ipam'/),
    row('host-local', host.hostLocal(['10.77.0.1/24']), /"ipam\.ranges\[0\]\[0\]\.subnet".*host bits/),
    row('host-local', host.hostLocal([]), /"ranges" or "subnet"/),
    row('static', { type: 'static', addresses: [{ address: 'x' }] }, /"ipam\.addresses\[0\]\.address"/),
  ]);
});

run();
