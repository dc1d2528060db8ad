import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addressTexts, interfaceNames } from './probe.ts';

const test = suite('probe');

// Captured: ip -o link; ip -o -4 addr (busybox 1.35)
const LINKS = `1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\\    link/loopback 00:00:00:00:00:00
5: eth0@if6: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue \\    link/ether 0a:58:0a:4d:00:02
`;
const ADDRESSES = `1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
5: eth0    inet 10.77.0.2/24 brd 10.77.0.255 scope global eth0\\       valid_lft forever preferred_lft forever
`;

test('interfaceNames() keeps the name before the peer', () => {
  assert.equal(interfaceNames(LINKS), ['eth0', 'lo']);
});

test('addressTexts() keeps address and prefix, and not the broadcast address', () => {
  assert.equal(addressTexts(ADDRESSES), ['10.77.0.2/24', '127.0.0.1/8']);
});

test('interfaceNames() and addressTexts() of nothing are empty', () => {
  assert.equal([interfaceNames(''), addressTexts('')], [[], []]);
});

test.run();
