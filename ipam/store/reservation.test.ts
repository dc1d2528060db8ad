import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatOwner, parseOwner, type Reservation, selectOwned } from './reservation.ts';

const test = suite('ipam reservation');

test('formatOwner() and parseOwner() speak the format of the reference', () => {
  assert.is(formatOwner({ containerId: 'abc', ifname: 'eth0' }), 'abc\r\neth0');
  for (const [text, owner] of [
    ['abc\r\neth0', { containerId: 'abc', ifname: 'eth0' }],
    ['abc\r\neth0\n', { containerId: 'abc', ifname: 'eth0' }],
    ['abc', { containerId: 'abc' }],
    ['abc\r\n', { containerId: 'abc' }],
    ['', { containerId: '' }],
    ['\0\0\0\0', { containerId: '' }],
    [' \n', { containerId: '' }],
  ] as const) {
    assert.equal(parseOwner(text), owner, JSON.stringify(text));
  }
});

test('selectOwned() takes reservations without interface only when there is none with it', () => {
  const of = (address: string, containerId: string, ifname?: string): Reservation =>
    ifname === undefined
      ? { address, containerId, abandoned: false }
      : { address, containerId, ifname, abandoned: false };
  const all = [of('10.0.0.2', 'a', 'eth0'), of('10.0.0.3', 'a'), of('10.0.0.4', 'b', 'eth0'), of('10.0.0.5', '')];
  const select = (containerId: string, ifname: string) =>
    selectOwned(all, { containerId, ifname }).map(({ address }) => address);
  assert.equal(select('a', 'eth0'), ['10.0.0.2']);
  assert.equal(select('a', 'eth1'), ['10.0.0.3']);
  assert.equal(select('b', 'eth1'), []);
  assert.equal(select('c', 'eth0'), []);
});

test.run();
