import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withoutCodeCache } from './code-cache.ts';

const test = suite('code cache');

const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(value.length), Buffer.from(value, 'latin1')]);
const vector = (...elements: Buffer[]): Buffer => Buffer.concat([u64(elements.length), ...elements]);
const bytesOf = (value: Buffer): Buffer => Buffer.concat([u64(value.length), value]);
const u32 = (value: number): Buffer => u64(value).subarray(0, 4);
const cache = (id: string, data: string): Buffer => Buffer.concat([text(id), bytesOf(Buffer.from(data, 'latin1'))]);

const V8_PART = Buffer.from('what V8 \x00 has written', 'latin1');
/** What lies between V8's part and the caches: vectors of strings and of numbers, which are no caches. */
const ISOLATE_DATA = Buffer.concat([vector(u64(0), u64(1)), vector(text('crypto'), text('fs'))]);

function snapshotWith(...caches: Buffer[]): Buffer {
  return Buffer.concat([
    u32(0x143da19),
    Buffer.from([1]),
    text('26.10.0'),
    text('x64'),
    text('linux'),
    u32(0),
    u32(V8_PART.length),
    V8_PART,
    ISOLATE_DATA,
    vector(...caches),
  ]);
}

const blobWith = (snapshot: Buffer): Buffer =>
  Buffer.concat([u32(0x143da20), u32(3), text('/build/main.js'), bytesOf(snapshot), vector(text('an asset'))]);

const CACHES = [
  cache('fs', 'of fs'),
  cache('ffi', 'of ffi \x00'),
  cache('internal/ffi/vfs', ''),
  cache('tty', 'of tty'),
];

test('withoutCodeCache() leaves out all caches, and everything else as it is', () => {
  const kept = withoutCodeCache(blobWith(snapshotWith(...CACHES)));
  assert.is(Buffer.from(kept).toString('latin1'), blobWith(snapshotWith()).toString('latin1'));
});

const saysOf = (blob: Buffer): string => {
  try {
    withoutCodeCache(blob);
    return 'nothing';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

test('withoutCodeCache() refuses a blob that is made in another way', () => {
  const whole = blobWith(snapshotWith(...CACHES));
  assert.is(saysOf(Buffer.alloc(100)), 'There is no startup snapshot in the blob');
  const cut = whole.subarray(0, whole.indexOf('of tty'));
  assert.is(saysOf(cut), 'There is no startup snapshot in the blob');
  const longer = Buffer.concat([snapshotWith(...CACHES), Buffer.from('more')]);
  assert.is(saysOf(blobWith(longer)), 'There are no code caches in the snapshot');
});

test.run();
