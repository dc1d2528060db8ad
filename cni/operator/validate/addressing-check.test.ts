import { suite } from 'uvu';
import { tell } from './fault.ts';
import * as assert from 'uvu/assert';
import { networkConfigOf } from '../../protocol/config.ts';
import { FaultList } from '../../protocol/fields.ts';
import { checkAddressing } from './addressing-check.ts';

const test = suite('addressing check');

/** The warnings about an `ipam` section of host-local. */
const told = (ipam: object, more: object = {}): string[] => {
  const raw = { name: 'pods', cniVersion: '1.1.0', type: 'podlink', ipam: { type: 'host-local', ...ipam }, ...more };
  const config = networkConfigOf(raw, new FaultList());
  const section = config.fields.object('ipam');
  const faults = section ? checkAddressing(config, { ipam: section, pluginDirs: undefined }) : [];
  return faults.map(tell).map(({ level, message }) => `${level} ${message}`);
};

const EDGES: readonly (readonly [string, object, readonly RegExp[]])[] = [
  ['no end', { subnet: '10.1.0.0/24' }, []],
  ['ends within', { subnet: '10.1.0.0/24', rangeStart: '10.1.0.1', rangeEnd: '10.1.0.254' }, []],
  [
    'both edges',
    { subnet: '10.1.0.0/24', rangeStart: '10.1.0.0', rangeEnd: '10.1.0.255' },
    [
      /^warning "ipam\.rangeStart" has the network address of 10\.1\.0\.0\/24, 10\.1\.0\.0, handed out/,
      /^warning "ipam\.rangeEnd" has the broadcast address of 10\.1\.0\.0\/24, 10\.1\.0\.255, handed out/,
    ],
  ],
  [
    'an edge in the second range of a set',
    { ranges: [[{ subnet: '10.1.0.0/30' }, { subnet: '10.1.0.4/30', rangeStart: '10.1.0.4' }]] },
    [/^warning "ipam\.ranges\[0\]\[1\]\.rangeStart" has the network address of 10\.1\.0\.4\/30/],
  ],
  [
    "IPv6's first address",
    { subnet: 'fd00::/64', rangeStart: 'fd00::' },
    [/^warning "ipam\.rangeStart" has the subnet-router anycast address of fd00::\/64/],
  ],
  ["IPv6's last address", { subnet: 'fd00::/120', rangeEnd: 'fd00::ff' }, []],
  ['an excluded edge', { subnet: '10.1.0.0/24', rangeEnd: '10.1.0.255', exclude: ['10.1.0.255'] }, []],
];
for (const [what, ipam, warnings] of EDGES) {
  test(`checkAddressing() of a range with ${what}`, () => {
    const found = told(ipam);
    assert.is(found.length, warnings.length, found.join('\n'));
    for (const [i, pattern] of warnings.entries()) assert.match(found[i] ?? '', pattern);
  });
}

test.run();
