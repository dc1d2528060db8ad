import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { CAPTURED_BRIDGE } from '../../testing/captured-links.ts';
import { hasLinkLocalLearning, setLinkLocalLearning } from './bridge-learning.ts';
import { decodeLink, type Link } from './link.ts';

const test = suite('rtnetlink bridge learning');

// ip link set br0 type bridge no_linklocal_learn 1 (strace -e trace=sendmsg -e write=all, kernel 6.18) sends the same,
// but for the zero after "bridge" and NLA_F_NESTED.
const REQUEST = bytes(`
  00 00 00 00  ; ifi_family, pad, ifi_type
  02 00 00 00  ; ifi_index
  00 00 00 00  ; ifi_flags
  00 00 00 00  ; ifi_change
  20 00 12 80  ; IFLA_LINKINFO nested
  0b 00 01 00 62 72 69 64 67 65 00 00  ; IFLA_INFO_KIND "bridge"
  10 00 02 80  ; IFLA_INFO_DATA nested
  0c 00 2e 00  ; IFLA_BR_MULTI_BOOLOPT
  01 00 00 00  ; optval 1 << BR_BOOLOPT_NO_LL_LEARN
  01 00 00 00  ; optmask
`);

function requestOf(learns: boolean): Uint8Array {
  const transport = new FakeTransport();
  setLinkLocalLearning(new NetlinkConnection(transport), { index: 2, name: 'br0' }, learns);
  assert.equal([transport.requests.length, transport.requests[0]?.type], [1, 16]);
  return transport.requests[0]?.payload ?? new Uint8Array();
}

function bridgeWith(driver: Uint8Array): Link {
  const info = join(attribute(1, bytes('62 72 69 64 67 65 00')), attribute(2, driver));
  return decodeLink(
    received(
      join(bytes('00 00 01 00 02 00 00 00 03 10 00 00 00 00 00 00 08 00 03 00 62 72 30 00'), attribute(18, info)),
    ),
  );
}

test('setLinkLocalLearning() changes the one option and names no other', () => {
  assertBytes(requestOf(false), REQUEST);
  assertBytes(requestOf(true).subarray(-8), bytes('00 00 00 00 01 00 00 00'));
});

test('hasLinkLocalLearning() reads what setLinkLocalLearning() sets', () => {
  assert.is(hasLinkLocalLearning(decodeLink(received(requestWithName(REQUEST)))), false);
  assert.is(hasLinkLocalLearning(decodeLink(received(CAPTURED_BRIDGE))), true);
  assert.is(hasLinkLocalLearning(bridgeWith(attribute(46, bytes('02 00 00 00 0f 00 00 00')))), true);
  assert.is(hasLinkLocalLearning(bridgeWith(new Uint8Array())), true, 'a kernel without the option');
});

/** decodeLink() asks for a name. */
function requestWithName(request: Uint8Array): Uint8Array {
  return join(request, attribute(3, bytes('62 72 30 00')));
}

test.run();
