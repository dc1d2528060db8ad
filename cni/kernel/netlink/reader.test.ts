import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, attribute, bytes, join } from '../testing/bytes.ts';
import { Attributes, ByteReader, MalformedMessageError } from './reader.ts';

const test = suite('netlink reader');

const isMalformed = (error: unknown): boolean => error instanceof MalformedMessageError;

test('ByteReader reads every kind of number in its order', () => {
  const reader = new ByteReader(
    bytes(`
      ff 02 01              ; u8, u16
      04 03 02 81           ; u32
      fe ff ff ff           ; s32
      08 07 06 05 04 03 02 01 ; u64
      01 02 81 02 03 04     ; be16, be32
      ff 02 03 04 05 06 07 08 ; be64
    `),
  );
  assert.equal([reader.u8(), reader.u16(), reader.u32(), reader.s32()], [255, 0x0102, 0x81020304, -2]);
  assert.is(reader.u64(), 0x0102030405060708n);
  assert.equal([reader.be16(), reader.be32()], [0x0102, 0x81020304]);
  assert.is(reader.be64(), 0xff02030405060708n);
  assert.is(reader.remaining, 0);
});

test('ByteReader reads from the middle of a larger buffer', () => {
  const reader = new ByteReader(bytes('ff ff 01 00 00 00 ff ff').subarray(2, 6));
  assert.is(reader.u32(), 1);
  assert.throws(() => reader.u8(), isMalformed);
});

test('ByteReader skips, takes bytes and takes the rest', () => {
  const reader = new ByteReader(bytes('01 02 03 04 05 06'));
  assert.is(reader.skip(1).u8(), 2);
  assertBytes(reader.bytes(2), bytes('03 04'));
  assertBytes(reader.rest(), bytes('05 06'));
  assertBytes(reader.rest(), new Uint8Array());
});

const TOO_MUCH: readonly (readonly [string, (reader: ByteReader) => unknown, number])[] = [
  ['u8()', (r) => r.u8(), 1],
  ['u16()', (r) => r.u16(), 2],
  ['u32()', (r) => r.u32(), 4],
  ['s32()', (r) => r.s32(), 4],
  ['u64()', (r) => r.u64(), 8],
  ['be16()', (r) => r.be16(), 2],
  ['be32()', (r) => r.be32(), 4],
  ['be64()', (r) => r.be64(), 8],
  ['bytes(5)', (r) => r.bytes(5), 5],
  ['skip(5)', (r) => r.skip(5), 5],
];

for (const [title, read, size] of TOO_MUCH) {
  test(`ByteReader.${title} refuses to read past the end`, () => {
    const short = new ByteReader(new Uint8Array(size - 1));
    assert.throws(
      () => read(short),
      (error: unknown) => isMalformed(error) && String(error).includes(`${size} bytes wanted, ${size - 1} left`),
    );
    assert.is(short.remaining, size - 1, 'a refused read does not move the cursor');
    read(new ByteReader(new Uint8Array(size)));
  });
}

test('ByteReader refuses to go backwards', () => {
  const reader = new ByteReader(bytes('01 02 03 04')).skip(2);
  assert.throws(() => reader.skip(-1), isMalformed);
  assert.throws(() => reader.bytes(-2), isMalformed);
  assert.is(reader.u8(), 3);
});

test('Attributes reads values, strings and nested lists', () => {
  const attributes = new Attributes(
    bytes(`
      05 00 21 00 01 00 00 00  ; 33 u8
      06 00 02 00 02 01 00 00  ; 2 u16
      08 00 04 00 78 05 00 80  ; 4 u32, or s32
      0c 00 08 00 01 00 00 00 00 00 00 00 ; 8 u64
      08 00 09 00 00 00 05 78  ; 9 be32
      08 00 03 00 62 72 30 00  ; 3 "br0"
      0c 00 12 80 08 00 01 00 01 00 00 00 ; 18, nested, with 1 u32
      04 00 07 00              ; 7, empty
    `),
  );
  assert.is(attributes.u8(33), 1);
  assert.is(attributes.u16(2), 0x0102);
  assert.is(attributes.u32(4), 0x80000578);
  assert.is(attributes.s32(4), 0x80000578 - 2 ** 32);
  assert.is(attributes.u64(8), 1n);
  assert.is(attributes.be64(8), 1n << 56n);
  assert.is(attributes.be32(9), 1400);
  assert.is(attributes.string(3), 'br0');
  assert.is(attributes.nested(18)?.u32(1), 1);
  assert.ok(attributes.has(7));
  assert.equal(attributes.bytes(7), new Uint8Array());
});

test('Attributes gives undefined for what is absent', () => {
  const attributes = new Attributes(new Uint8Array());
  assert.equal(attributes.all, []);
  assert.not(attributes.has(1));
  const values = [attributes.bytes(1), attributes.u8(1), attributes.u16(1), attributes.u32(1), attributes.s32(1)];
  const more = [attributes.u64(1), attributes.be32(1), attributes.be64(1), attributes.string(1), attributes.nested(1)];
  assert.ok([...values, ...more].every((value) => value === undefined));
});

test('Attributes masks the flags of a type away', () => {
  const attributes = new Attributes(bytes('04 00 12 80 04 00 13 40 04 00 14 c0'));
  assert.equal(
    attributes.all.map(({ type }) => type),
    [18, 19, 20],
  );
});

test('Attributes keeps those it does not know, in the order of the wire', () => {
  const known = attribute(3, bytes('62 72 30 00'));
  const unknown = attribute(0x3fff, bytes('01 02 03'));
  const attributes = new Attributes(join(unknown, known, unknown));
  assert.equal(
    attributes.all.map(({ type }) => type),
    [0x3fff, 3, 0x3fff],
  );
  assertBytes(attributes.bytes(0x3fff) ?? new Uint8Array(), bytes('01 02 03'));
});

test('Attributes takes the last of an attribute that stands twice, and keeps both', () => {
  const attributes = new Attributes(bytes('08 00 04 00 01 00 00 00 08 00 04 00 02 00 00 00'));
  assert.is(attributes.u32(4), 2);
  assert.is(attributes.all.length, 2);
});

test('Attributes reads strings with and without their zero, and up to the first', () => {
  assert.is(new Attributes(bytes('06 00 01 00 61 62 00 00')).string(1), 'ab');
  assert.is(new Attributes(bytes('08 00 01 00 61 00 62 00')).string(1), 'a');
  assert.is(new Attributes(bytes('04 00 01 00')).string(1), '');
  assert.is(new Attributes(bytes('09 00 01 00 c3 a9 ff 62 00 00 00 00')).string(1), 'é\ufffdb');
});

test('Attributes forgives missing padding after the last attribute only', () => {
  assert.is(new Attributes(bytes('05 00 01 00 07')).u8(1), 7);
  assert.is(new Attributes(bytes('05 00 01 00 07 00')).u8(1), 7);
});

const MALFORMED: readonly (readonly [string, string, RegExp])[] = [
  ['stray bytes at the end', '04 00 01 00 01 02', /2 stray bytes/],
  ['less than a header', '04', /1 stray bytes/],
  ['a length of zero', '00 00 01 00', /Invalid attribute length 0/],
  ['a length below its header', '03 00 01 00', /Invalid attribute length 3/],
  ['a length past the end', '09 00 01 00 00 00 00 00', /5 bytes wanted, 4 left/],
  ['the longest length', 'ff ff 01 00', /65531 bytes wanted, 0 left/],
];

for (const [title, wire, message] of MALFORMED) {
  test(`Attributes refuses ${title}`, () => {
    assert.throws(
      () => new Attributes(bytes(wire)),
      (error: unknown) => isMalformed(error) && message.test(String(error)),
    );
  });
}

const SIZES: readonly (readonly [string, (attributes: Attributes) => unknown, number])[] = [
  ['u8()', (a) => a.u8(1), 1],
  ['u16()', (a) => a.u16(1), 2],
  ['u32()', (a) => a.u32(1), 4],
  ['s32()', (a) => a.s32(1), 4],
  ['u64()', (a) => a.u64(1), 8],
  ['be32()', (a) => a.be32(1), 4],
  ['be64()', (a) => a.be64(1), 8],
];

for (const [title, read, size] of SIZES) {
  test(`Attributes.${title} refuses a payload of another size`, () => {
    for (const wrong of [0, size - 1, size + 1]) {
      assert.throws(
        () => read(new Attributes(attribute(1, new Uint8Array(wrong)))),
        (error: unknown) =>
          isMalformed(error) && String(error).includes(`Attribute 1 has ${wrong} bytes instead of ${size}`),
      );
    }
    assert.is(Number(read(new Attributes(attribute(1, new Uint8Array(size))))), 0);
  });
}

test('Attributes.nested() refuses a payload that is no list', () => {
  assert.throws(() => new Attributes(attribute(1, bytes('01 02 03'))).nested(1), isMalformed);
});

test.run();
