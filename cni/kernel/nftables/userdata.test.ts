import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MalformedMessageError } from '../netlink/reader.ts';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { COMMENT_MAX_BYTES, decodeComment, encodeComment, fitComment } from './userdata.ts';

const test = suite('nftables userdata');

test('encodeComment() and decodeComment() agree with nft', () => {
  // Captured: strace -e trace=sendmsg -e write=all nft add element … '{ 10.0.0.5 comment "abc" }' (nftables 1.0.6)
  assertBytes(encodeComment(0, 'abc'), bytes('00 04 61 62 63 00'));
  assert.is(decodeComment(0, bytes('00 04 61 62 63 00')), 'abc');
});

test('decodeComment() passes over other entries', () => {
  // Captured: set masquerade_v4 { type ipv4_addr; comment "c"; }: byte order of the key, then the comment
  const userdata = bytes('00 04 02 00 00 00 07 02 63 00');
  assert.is(decodeComment(7, userdata), 'c');
  assert.is(decodeComment(3, userdata), undefined);
});

test('decodeComment() refuses a length that lies', () => {
  for (const lying of ['00 09 61 00', '07']) {
    assert.throws(
      () => decodeComment(0, bytes(lying)),
      (error: unknown) => error instanceof MalformedMessageError,
    );
  }
});

test('encodeComment() refuses what nft could not read', () => {
  assert.is(encodeComment(0, 'x'.repeat(COMMENT_MAX_BYTES)).length, COMMENT_MAX_BYTES + 3);
  assert.throws(() => encodeComment(0, 'x'.repeat(COMMENT_MAX_BYTES + 1)), /at most 128 bytes/);
  assert.throws(() => encodeComment(0, 'a\0b'), /Cannot write the comment/);
});

test('fitComment() leaves text alone that fits', () => {
  const text = 'x'.repeat(COMMENT_MAX_BYTES);
  assert.is(fitComment(text), text);
});

test('fitComment() cuts the same text to the same comment and others to others', () => {
  const text = `net/${'c'.repeat(200)}/eth0`;
  assert.is(fitComment(text), fitComment(text));
  assert.is(fitComment(text).length, COMMENT_MAX_BYTES);
  assert.ok(fitComment(text).startsWith('net/cccc'));
  assert.is.not(fitComment(text), fitComment(`${text}1`));
});

test('fitComment() does not split a character', () => {
  for (let i = 0; i < 4; i++) {
    const comment = fitComment(`${'x'.repeat(i)}${'ü€😀'.repeat(30)}`);
    assert.not.ok(comment.includes('\ufffd'));
    assert.ok(new TextEncoder().encode(comment).length <= COMMENT_MAX_BYTES);
  }
});

test.run();
