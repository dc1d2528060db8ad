import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { align4, MessageWriter } from './writer.ts';

const test = suite('netlink writer');

// Every line: what is written, and the bytes it must become.
const WRITES: readonly (readonly [string, (writer: MessageWriter) => unknown, string])[] = [
  ['u8()', (w) => w.u8(0).u8(0x7f).u8(0xff), '00 7f ff'],
  ['u16() in host order', (w) => w.u16(0x0102).u16(0xffff), '02 01 ff ff'],
  ['u32() in host order', (w) => w.u32(0x01020304).u32(0xffffffff), '04 03 02 01 ff ff ff ff'],
  ['s32() in host order', (w) => w.s32(-2).s32(0x7fffffff).s32(-0x80000000), 'fe ff ff ff ff ff ff 7f 00 00 00 80'],
  ['u64() in host order', (w) => w.u64(0x0102030405060708n), '08 07 06 05 04 03 02 01'],
  ['be16() in network order', (w) => w.be16(0x0102), '01 02'],
  ['be32() in network order', (w) => w.be32(0x01020304), '01 02 03 04'],
  ['be64() in network order', (w) => w.be64(0xfffefdfcfbfaf9f8n), 'ff fe fd fc fb fa f9 f8'],
  ['bytes()', (w) => w.bytes(bytes('01 02 03')).bytes(new Uint8Array()), '01 02 03'],
  ['pad() after one byte', (w) => w.u8(1).pad(), '01 00 00 00'],
  ['pad() where nothing is to do', (w) => w.u32(1).pad().pad(), '01 00 00 00'],
  ['attributeFlag()', (w) => w.attributeFlag(7), '04 00 07 00'],
  ['attributeU8() with padding', (w) => w.attributeU8(33, 1), '05 00 21 00 01 00 00 00'],
  ['attributeU16() with padding', (w) => w.attributeU16(2, 0x0102), '06 00 02 00 02 01 00 00'],
  ['attributeU32()', (w) => w.attributeU32(4, 1400), '08 00 04 00 78 05 00 00'],
  ['attributeBe32()', (w) => w.attributeBe32(4, 1400), '08 00 04 00 00 00 05 78'],
  ['attributeBe64()', (w) => w.attributeBe64(4, 1n), '0c 00 04 00 00 00 00 00 00 00 00 01'],
  ['attributeBytes()', (w) => w.attributeBytes(1, bytes('0a 01 02')), '07 00 01 00 0a 01 02 00'],
  ['attributeBytes() of nothing', (w) => w.attributeBytes(1, new Uint8Array()), '04 00 01 00'],
  ['attributeString() with its zero', (w) => w.attributeString(3, 'br0'), '08 00 03 00 62 72 30 00'],
  ['attributeString() of nothing', (w) => w.attributeString(3, ''), '05 00 03 00 00 00 00 00'],
  ['attributeString() as UTF-8', (w) => w.attributeString(3, 'é€'), '0a 00 03 00 c3 a9 e2 82 ac 00 00 00'],
];

for (const [title, write, expected] of WRITES) {
  test(`${title} writes what the kernel reads`, () => {
    const writer = new MessageWriter();
    assert.is(write(writer), writer, 'returns the writer');
    assertBytes(writer.finish(), bytes(expected));
    assert.is(writer.length, bytes(expected).length);
  });
}

test('attribute() gives the length without and takes the room with padding', () => {
  const writer = new MessageWriter().attribute(1, (inner) => inner.u8(9).u8(8).u8(7)).u8(0xee);
  assertBytes(writer.finish(), bytes('07 00 01 00 09 08 07 00 ee'));
});

test('nested() sets NLA_F_NESTED and counts the padding of what it holds, as nla_nest_end() does', () => {
  const writer = new MessageWriter().nested(18, (info) =>
    info.attributeString(1, 'veth').nested(2, (driver) => driver.nested(1, () => undefined).attributeU8(5, 1)),
  );
  assertBytes(
    writer.finish(),
    bytes(`
      20 00 12 80              ; 18, nested, 32 bytes
      09 00 01 00 76 65 74 68  ; 1 "veth"
      00 00 00 00              ; its zero and padding
      10 00 02 80              ; 2, nested, 16 bytes
      04 00 01 80              ; 1, nested, empty
      05 00 05 00 01 00 00 00  ; 5 with one byte
    `),
  );
});

test('the buffer grows from any size and keeps what was written', () => {
  for (const capacity of [0, 1, 3, 16]) {
    const writer = new MessageWriter(capacity);
    for (let i = 0; i < 1000; i++) writer.u8(i & 0xff);
    const written = writer.finish();
    assert.is(written.length, 1000);
    assert.ok(written.every((byte, i) => byte === (i & 0xff)));
  }
});

test('the buffer grows in one step for something longer than twice its size', () => {
  const long = new Uint8Array(5000).fill(0xab);
  assert.equal(new MessageWriter(2).u8(1).bytes(long).finish(), Uint8Array.from([1, ...long]));
});

test('an attribute that makes the buffer grow still gets its length', () => {
  const writer = new MessageWriter(4).attribute(1, (inner) => inner.bytes(new Uint8Array(300).fill(1)));
  assertBytes(writer.finish().subarray(0, 4), bytes('30 01 01 00'));
  assert.is(writer.length, 304);
});

test('an attribute may be 65535 bytes long and no more', () => {
  const longest = new MessageWriter().attributeBytes(1, new Uint8Array(65531));
  assertBytes(longest.finish().subarray(0, 4), bytes('ff ff 01 00'));
  assert.is(longest.length, 65536);
  assert.throws(() => new MessageWriter().attributeBytes(1, new Uint8Array(65532)), /Cannot write 65536/);
  assert.throws(
    () => new MessageWriter().nested(1, (inner) => inner.attributeBytes(2, new Uint8Array(65531))),
    (error: unknown) => error instanceof RangeError,
  );
});

test('patchU32() overwrites four bytes and nothing else', () => {
  const writer = new MessageWriter().u8(1).u32(0).u8(2).patchU32(1, 0x01020304);
  assertBytes(writer.finish(), bytes('01 04 03 02 01 02'));
});

const REFUSED: readonly (readonly [string, (writer: MessageWriter) => unknown])[] = [
  ['u8(256)', (w) => w.u8(256)],
  ['u8(-1)', (w) => w.u8(-1)],
  ['u8(1.5)', (w) => w.u8(1.5)],
  ['u8(NaN)', (w) => w.u8(Number.NaN)],
  ['u16(65536)', (w) => w.u16(65536)],
  ['be16(-1)', (w) => w.be16(-1)],
  ['u32(2 ** 32)', (w) => w.u32(2 ** 32)],
  ['u32(-1)', (w) => w.u32(-1)],
  ['u32(Infinity)', (w) => w.u32(Number.POSITIVE_INFINITY)],
  ['be32(2 ** 32)', (w) => w.be32(2 ** 32)],
  ['s32(2 ** 31)', (w) => w.s32(2 ** 31)],
  ['s32(-(2 ** 31) - 1)', (w) => w.s32(-(2 ** 31) - 1)],
  ['s32(0.5)', (w) => w.s32(0.5)],
  ['u64(-1n)', (w) => w.u64(-1n)],
  ['u64(2n ** 64n)', (w) => w.u64(2n ** 64n)],
  ['be64(2n ** 64n)', (w) => w.be64(2n ** 64n)],
  ['attributeU8(1, 256)', (w) => w.attributeU8(1, 256)],
  ['attributeU32(1, -5)', (w) => w.attributeU32(1, -5)],
  ['attributeString() with a zero byte', (w) => w.attributeString(3, 'br0\0x')],
  ['patchU32() past the end', (w) => w.u32(0).patchU32(1, 5)],
  ['patchU32(0, 2 ** 32)', (w) => w.u32(0).patchU32(0, 2 ** 32)],
];

for (const [title, write] of REFUSED) {
  test(`${title} throws RangeError`, () => {
    assert.throws(
      () => write(new MessageWriter()),
      (error: unknown) => error instanceof RangeError,
    );
  });
}

test('a refused number writes nothing', () => {
  const writer = new MessageWriter().u8(1);
  assert.throws(() => writer.u32(-1));
  assertBytes(writer.finish(), bytes('01'));
});

test('align4() rounds up to a multiple of four', () => {
  assert.equal([0, 1, 3, 4, 5, 65535].map(align4), [0, 4, 4, 4, 8, 65536]);
});

test.run();
