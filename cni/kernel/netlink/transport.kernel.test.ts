import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ErrnoError } from '../errno.ts';
import { inNetns } from '../netns.ts';
import { bytes } from '../testing/bytes.ts';
import { withNamespace } from '../testing/namespaces.ts';
import { thrownOf } from '../testing/thrown.ts';
import { decodeAcknowledgement, decodeMessages, encodeRequest } from './message.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, openTransport } from './transport.ts';

const test = suite('netlink transport');

const openFiles = (): number => readdirSync('/proc/self/fd').length;

test('openTransport() speaks with the kernel, which answers in its words and without our request', () =>
  withNamespace(({ netns }) => {
    const transport = inNetns(netns, () => openTransport(NETLINK_ROUTE));
    // RTM_SETLINK of lo with IFLA_ADDRESS of one byte, and a long IFLA_IFALIAS that must not come back.
    const payload = bytes(`
      00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00
      05 00 01 00 02 00 00 00
      44 00 14 00 ${'78 '.repeat(64)}
    `);
    transport.send(encodeRequest({ type: 19, flags: 4, payload }, 7));
    const [refusal, ...others] = decodeMessages(transport.receive());
    assert.is(others.length, 0);
    if (!refusal) throw new Error('Cannot find the refusal');
    assert.equal([refusal.type, refusal.sequence, refusal.flags & 0x100], [2, 7, 0x100], 'NLMSG_ERROR, NLM_F_CAPPED');
    assert.ok(refusal.payload.length < 100);
    assert.ok(decodeAcknowledgement(refusal).errno > 0);
    transport.close();
  }));

test('openTransport() turns strict checking on', () =>
  withNamespace(({ netns }) => {
    const transport = inNetns(netns, () => openTransport(NETLINK_ROUTE));
    // RTM_GETROUTE with rtm_dst_len 1, which only a strict kernel minds.
    const payload = bytes('02 01 00 00 00 00 00 00 00 00 00 00');
    transport.send(encodeRequest({ type: 26, flags: 0x300, payload }, 1));
    const [refusal] = decodeMessages(transport.receive());
    assert.ok(refusal && (refusal.type === 2 || refusal.type === 3), 'NLMSG_ERROR or NLMSG_DONE');
    const error = new DataView(refusal.payload.buffer, refusal.payload.byteOffset).getInt32(0, true);
    assert.is(error, -22, 'EINVAL');
    transport.close();
  }));

test('receive() returns a copy that later datagrams leave alone', () =>
  withNamespace(({ netns }) => {
    const transport = inNetns(netns, () => openTransport(NETLINK_ROUTE));
    const noop = (sequence: number) => encodeRequest({ type: 18, flags: 4, payload: new Uint8Array(16) }, sequence);
    transport.send(noop(1));
    const first = transport.receive();
    transport.send(noop(2));
    transport.receive();
    assert.is(decodeMessages(first)[0]?.sequence, 1);
    transport.close();
  }));

test('openTransport() and close() leave no file open', () => {
  const before = openFiles();
  for (const protocol of [NETLINK_ROUTE, NETLINK_NETFILTER]) openTransport(protocol).close();
  assert.is(openFiles(), before);
});

test('openTransport() throws EPROTONOSUPPORT for a protocol the kernel does not have', () => {
  const before = openFiles();
  const error = thrownOf(ErrnoError, () => openTransport(999));
  assert.is(error.message, 'Cannot open a netlink socket for protocol 999: EPROTONOSUPPORT');
  assert.is(openFiles(), before);
});

test.run();
