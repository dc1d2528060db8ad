import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalMac, readMac } from './mac.ts';

const test = suite('mac');

/** The first three are those of Go's documentation of net.ParseMAC; it does not take the fourth. */
const SPELLINGS = [
  '02:42:ac:11:00:02',
  '02-42-AC-11-00-02',
  '0242.ac11.0002',
  '0242ac110002',
  '02:42:AC:11:00:02',
  '0242.AC11.0002',
];
for (const text of SPELLINGS) {
  test(`readMac() and canonicalMac() spell ${text} with colons`, () => {
    assert.equal(readMac(text), { mac: '02:42:ac:11:00:02' });
    assert.is(canonicalMac(text), '02:42:ac:11:00:02');
  });
}

const FAULTS: readonly (readonly [string, RegExp])[] = [
  ['x', /must be a unicast MAC address such as 02:00:0a:16:00:05, is "x"$/],
  ['02:42:ac:11:00', /5 bytes instead of 6/],
  ['02:42:ac:11:00:02:', /is "02:42:ac:11:00:02:"$/],
  [' 02:42:ac:11:00:02', /is " 02/],
  ['02:42:ac:11:00:02\n', /is "02:42:ac:11:00:02\\n"$/],
  ['02:42-ac:11:00:02', /is "02:42-ac:11:00:02"$/],
  ['2:42:ac:11:0:2', /is "2:42:ac:11:0:2"$/],
  ['0242ac11000', /is "0242ac11000"$/],
  ['02.42.ac.11.00.02', /is "02\.42/],
  ['0242:ac11:0002', /is "0242:ac11:0002"$/],
  ['02:42:ac:ff:fe:11:00:02', /8 bytes instead of 6/],
  ['0242.acff.fe11.0002', /8 bytes instead of 6/],
  [`00${'-00'.repeat(19)}`, /20 bytes instead of 6/],
  ['00-00-00-00-00-00', /no interface can have/],
  ['01:00:5e:00:00:01', /multicast address: its first byte is odd/],
  ['ffff.ffff.ffff', /multicast/],
];
for (const [text, fault] of FAULTS) {
  test(`readMac() says what is wrong with ${JSON.stringify(text)}`, () => {
    const read = readMac(text);
    assert.match('fault' in read ? read.fault : '', fault);
  });
}

test('canonicalMac() does not judge: a result may hold the address of any link', () => {
  assert.is(canonicalMac('01-00-5E-00-00-01'), '01:00:5e:00:00:01');
  assert.is(canonicalMac('02:42:ac:ff:fe:11:00:02'), undefined);
  assert.is(canonicalMac(''), undefined);
});

test.run();
