import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { architectureOf, readFileHeader, readSegments, type Segment } from './elf.ts';
import { findChange, pack } from './executable.ts';
import { findOwnLibraries } from './library-source.ts';
import { LOADER_CODE } from './loader-code.ts';

const test = suite('executable');

const [PT_LOAD, PT_INTERP, PT_NOTE, PT_PHDR] = [1, 3, 4, 6];
const ENTRY = 0x401234;
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:0';
const FUSE_AT = 4000;
const LIBRARIES = { loader: Buffer.from('the loader'), libraries: [Buffer.from('first'), Buffer.from('the second')] };
const BLOB = Buffer.from('an application');
const CODE = Buffer.from(LOADER_CODE.x64, 'base64');

/** An ELF file of 8 KiB: header, program headers, the fuse, and nothing that could run. */
function makeNode(machine = 62, types: readonly number[] = [PT_PHDR, PT_INTERP, PT_LOAD, PT_LOAD, PT_NOTE]): Buffer {
  const file = Buffer.alloc(8192, 0xaa);
  file.fill(0, 0, 64);
  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeUInt16LE(2, 16); // e_type: ET_EXEC
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(BigInt(ENTRY), 24);
  file.writeBigUInt64LE(64n, 32); // e_phoff
  file.writeUInt16LE(types.length, 56);
  types.forEach((type, i) => {
    const at = 64 + i * 56;
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(4, at + 4);
    [i * 100, 0x400000 + i * 0x10000, 0x500000, 100, 0x9000, 8].forEach((value, k) => {
      file.writeBigUInt64LE(BigInt(value), at + 8 + 8 * k);
    });
  });
  file.write(FUSE, FUSE_AT);
  return file;
}

const typesOf = (segments: readonly Segment[]): number[] => segments.map(({ type }) => type);
const contentOf = (file: Uint8Array, { offset, fileBytes }: Segment): Buffer =>
  Buffer.from(file).subarray(offset, offset + fileBytes);

test('pack() has the kernel map the code and the note behind the other PT_LOADs, without PT_INTERP, and enter the code', () => {
  const packed = pack(makeNode(), { ...LIBRARIES, blob: BLOB });
  const header = readFileHeader(packed);
  const segments = readSegments(packed, header);
  assert.equal(typesOf(segments), [PT_PHDR, PT_LOAD, PT_LOAD, PT_LOAD, PT_LOAD, PT_NOTE]);
  const [self, , , code, note] = segments;
  assert.ok(self && code && note);
  assert.equal([code.flags, code.offset, code.address], [5, 65_536, 0x440000], 'R E, the next 64 KiB behind the end');
  assert.is(header.entry, code.address);
  assert.ok(contentOf(packed, code).subarray(0, CODE.length).equals(CODE));
  assert.equal([note.flags, note.offset, note.address], [4, 131_072, 0x450000]);
  assert.equal([self.offset, self.fileBytes], [header.headersOffset, 6 * 56], 'PT_PHDR is the table that it is in');
});

test('pack() tells the code where the program, its headers and the libraries are', () => {
  const node = makeNode();
  const packed = Buffer.from(pack(node, { ...LIBRARIES, blob: BLOB }));
  const at = 65_536 + CODE.length;
  const words = Array.from({ length: 10 }, (_, i) => Number(packed.readBigUInt64LE(at + 8 * i)));
  const [entry, table = 0, count = 0, loader, loaderSize, libraries, ...places] = words;
  assert.equal([entry, count, libraries], [ENTRY, 6, 2]);
  assert.equal([loader, loaderSize], [196_608, 10]);
  assert.equal(places, [262_144, 5, 327_680, 10]);
  assert.is(packed.subarray(262_144, 262_149).toString(), 'first');
  assert.is(packed.subarray(327_680).toString(), 'the second');

  // The program's own headers: as they were, but for the one that says where they are, and one more.
  const headersOffset = table - 0x440000 + 65_536;
  const [self, ...others] = readSegments(packed, { entry: 0, headersOffset, headerCount: count });
  assert.equal([self?.type, self?.offset, self?.address, self?.fileBytes], [PT_PHDR, headersOffset, table, 6 * 56]);
  assert.equal(others.slice(0, -1), readSegments(node, readFileHeader(node)).slice(1));
  assert.is(others.at(-1)?.type, PT_NOTE);
});

// Node looks for it as https://github.com/nodejs/postject does: postject-api.h, postject_find_resource().
test('pack() writes the application as a note of that name, and uses the fuse', () => {
  const packed = Buffer.from(pack(makeNode(), { ...LIBRARIES, blob: BLOB }));
  const note = readSegments(packed, readFileHeader(packed))[4];
  assert.ok(note);
  const bytes = contentOf(packed, note);
  assert.equal([bytes.readUInt32LE(0), bytes.readUInt32LE(4)], [14, BLOB.length]);
  assert.is(bytes.toString('latin1', 12, 28), 'NODE_SEA_BLOB\0\0\0');
  assert.is(bytes.toString('latin1', 28, 28 + BLOB.length), 'an application');
  assert.is(packed.toString('latin1', FUSE_AT, FUSE_AT + FUSE.length), FUSE.replace(/0$/, '1'));
});

test('pack() without an application leaves the fuse, and adds no note', () => {
  const node = makeNode();
  const packed = Buffer.from(pack(node, LIBRARIES));
  assert.equal(typesOf(readSegments(packed, readFileHeader(packed))), [PT_PHDR, PT_LOAD, PT_LOAD, PT_LOAD, PT_NOTE]);
  assert.is(packed.toString('latin1', FUSE_AT, FUSE_AT + FUSE.length), FUSE);
});

test('pack() refuses what names no dynamic loader, itself included, and what has no fuse, or two', () => {
  const saysOf = (node: Uint8Array): string => {
    try {
      pack(node, { ...LIBRARIES, blob: BLOB });
    } catch (error) {
      return error instanceof TypeError ? error.message : String(error);
    }
    return 'nothing';
  };
  assert.match(saysOf(makeNode(62, [PT_LOAD])), /PT_INTERP/);
  assert.match(saysOf(pack(makeNode(), { ...LIBRARIES, blob: BLOB })), /PT_INTERP/);
  const [without, twice, used] = [makeNode(), makeNode(), makeNode()];
  without.fill(0, FUSE_AT, FUSE_AT + 8);
  twice.write(FUSE, 5000);
  used.write('1', FUSE_AT + FUSE.length - 1);
  assert.match(saysOf(without), /must be in it once/);
  assert.match(saysOf(twice), /must be in it once/);
  assert.match(saysOf(used), /carries an application already/);
});

test('findChange() finds every changed byte of a Node but those that packing must change', () => {
  const node = makeNode();
  const before = Buffer.from(node);
  const packed = pack(node, { ...LIBRARIES, blob: BLOB });
  assert.ok(node.equals(before), 'pack() has changed its argument');
  assert.is(findChange(node, packed), undefined);
  const mayChange = new Set([24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 56, 57, FUSE_AT + 47]);
  for (let at = 0; at < node.length; at++) {
    const changed = Uint8Array.from(packed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.is(findChange(node, changed), mayChange.has(at) ? undefined : at);
  }
  assert.is(findChange(node, packed.subarray(0, 8000)), 8000, 'cut off');
});

test('of the Node from npm, packing changes the three fields of its header and the fuse, and no other byte', () => {
  const node = readFileSync(process.execPath);
  const own = findOwnLibraries(process.arch === 'arm64' ? 'arm64' : 'x64');
  assert.ok(own);
  assert.is(findChange(node, pack(node, { ...own, blob: BLOB })), undefined);
});

test('architectureOf() knows x86-64 and AArch64, and refuses all else', () => {
  assert.is(architectureOf(makeNode(62)), 'x64');
  assert.is(architectureOf(makeNode(183)), 'arm64');
  const isTypeError = (error: Error) => error instanceof TypeError && error.message.startsWith('Cannot read');
  for (const bytes of [makeNode(243), Buffer.alloc(0), Buffer.from('#!/bin/sh\n'.padEnd(100))])
    assert.throws(() => architectureOf(bytes), isTypeError);
});

test('readSegments() refuses a file that ends before its program headers do', () => {
  const file = makeNode();
  assert.throws(() => readSegments(file.subarray(0, 100), readFileHeader(file)), /ends before/);
});

test('findOwnLibraries() finds what this Node runs on', () => {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const own = findOwnLibraries(architecture);
  assert.is(own?.libraries.length, 7);
  for (const file of [own?.loader ?? Buffer.alloc(0), ...(own?.libraries ?? [])]) {
    assert.is(architectureOf(file), architecture);
  }
});

test.run();
