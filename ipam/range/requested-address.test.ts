import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { IpamError } from '../errors.ts';
import { parseRangeSets } from './range-set.ts';
import { assignRequested } from './requested-address.ts';

const test = suite('ipam requested addresses');

const sets = parseRangeSets({
  ipam: new Fields({
    ranges: [
      [{ subnet: '10.1.0.0/24', rangeEnd: '10.1.0.99' }],
      [{ subnet: 'fd00::/64' }],
      [{ subnet: '10.2.0.0/24' }],
    ],
  }),
  runtimeConfig: new Fields({}),
  cniVersion: '1.1.0',
});

interface Asked {
  IP?: string;
  args?: unknown;
  runtime?: unknown;
}
const assign = ({ IP, args, runtime }: Asked) =>
  assignRequested(
    {
      cniArgs: new Map(IP === undefined ? [] : [['IP', IP]]),
      argsCni: new Fields({ ips: args }, 'args.cni'),
      runtimeConfig: new Fields({ ips: runtime }, 'runtimeConfig'),
    },
    sets,
  );

test('assignRequested() joins the three sources and gives each address to its set', () => {
  for (const [asked, expected] of [
    [{}, []],
    [{ IP: '' }, []],
    [{ IP: '10.1.0.7' }, [[0, '10.1.0.7']]],
    [{ IP: '10.1.0.7/8' }, [[0, '10.1.0.7']]],
    [{ args: ['FD00::0:5/64'] }, [[1, 'fd00::5']]],
    [
      { IP: '10.2.0.4', args: ['fd00::5'], runtime: ['10.1.0.9/24'] },
      [
        [2, '10.2.0.4'],
        [1, 'fd00::5'],
        [0, '10.1.0.9'],
      ],
    ],
    [{ IP: '10.1.0.7', args: ['10.1.0.7/24'], runtime: ['10.1.0.7'] }, [[0, '10.1.0.7']]],
  ] as [Asked, unknown][]) {
    assert.equal([...assign(asked)], expected, JSON.stringify(asked));
  }
});

test('assignRequested() refuses a text that is no address and names where it stands', () => {
  assert.throws(
    () => assign({ IP: '10.1.0.7,10.1.0.8' }),
    (error: unknown) => error instanceof IpamError && error.kind === 'argument' && /CNI_ARGS "IP"/.test(error.message),
  );
  for (const [asked, path] of [
    [{ args: ['10.1.0.7', '10.1.0'] }, 'args.cni.ips[1]'],
    [{ runtime: ['fe80::1%eth0'] }, 'runtimeConfig.ips[0]'],
    [{ runtime: '10.1.0.7' }, 'runtimeConfig.ips'],
    [{ runtime: [7] }, 'runtimeConfig.ips[0]'],
  ] as const) {
    assert.throws(
      () => assign(asked),
      (error: unknown) => error instanceof FieldError && error.path === path,
      path,
    );
  }
});

test('assignRequested() refuses an address that no set can give', () => {
  for (const [asked, message] of [
    [{ IP: '10.1.0.1' }, /10\.1\.0\.1 is subnet's gateway/],
    [
      { IP: '10.9.0.1' },
      /10\.9\.0\.1 is in none of the ranges: .*10\.1\.0\.1-10\.1\.0\.99 and fd00::1-.* and 10\.2\.0\.1/,
    ],
    [{ IP: '10.1.0.100' }, /in none of the ranges/],
    [{ IP: '10.2.0.0' }, /network or broadcast address of 10\.2\.0\.0\/24/],
    [{ IP: '10.2.0.255' }, /network or broadcast address of 10\.2\.0\.0\/24/],
    [{ IP: 'fd00::' }, /network or broadcast address of fd00::\/64/],
    [{ IP: '::ffff:10.1.0.7' }, /must be one IP address, .* write 10\.1\.0\.7/],
    [{ args: ['10.1.0.7', '10.1.0.8'] }, /10\.1\.0\.7 and 10\.1\.0\.8 are both of range set 10\.1\.0\.1-10\.1\.0\.99/],
  ] as const) {
    assert.throws(
      () => assign(asked as Asked),
      (error: unknown) => error instanceof IpamError && error.kind === 'argument' && message.test(error.message),
      JSON.stringify(asked),
    );
  }
});

test.run();
