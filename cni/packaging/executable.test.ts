import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { architectureOf, readFileHeader, readSegments, type Segment } from './elf.ts';
import { FUSE, findChange, withOwnLibraries } from './executable.ts';
import { findOwnLibraries } from './library-source.ts';
import { LOADER_CODE } from './loader-code.ts';

const test = suite('executable');

const [PT_LOAD, PT_INTERP, PT_NOTE, PT_PHDR] = [1, 3, 4, 6];
const ENTRY = 0x401234;
const SENTINEL = `${FUSE}:0`;
const FUSE_AT = 4000;
const SYMBOLS = { offset: 3000, length: 500 };
const LIBRARIES = { loader: Buffer.from('the loader'), libraries: [Buffer.from('first'), Buffer.from('the second')] };
const CODE = Buffer.from(LOADER_CODE.x64, 'base64');

/** An ELF file of 8 KiB: header, program headers, the fuse, a section of symbols, and nothing that could run. */
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
    // The PT_LOADs are the two halves of the file.
    const offset = type === PT_LOAD && i === types.lastIndexOf(PT_LOAD) ? 4096 : 0;
    const length = type === PT_LOAD ? 4096 : 100;
    [offset, 0x400000 + i * 0x10000, 0x500000, length, 0x9000, 8].forEach((value, k) => {
      file.writeBigUInt64LE(BigInt(value), at + 8 + 8 * k);
    });
  });
  file.write(SENTINEL, FUSE_AT);
  // Two sections, and their names.
  const names = '\0.dynsym\0.shstrtab\0';
  file.write(names, 8000, 'latin1');
  file.writeBigUInt64LE(7000n, 40); // e_shoff
  file.writeUInt16LE(2, 60);
  file.writeUInt16LE(1, 62);
  [
    [1, SYMBOLS.offset, SYMBOLS.length],
    [9, 8000, names.length],
  ].forEach(([name = 0, offset = 0, length = 0], i) => {
    const at = 7000 + i * 64;
    file.writeUInt32LE(name, at);
    file.writeBigUInt64LE(BigInt(offset), at + 24);
    file.writeBigUInt64LE(BigInt(length), at + 32);
  });
  return file;
}

const typesOf = (segments: readonly Segment[]): number[] => segments.map(({ type }) => type);
const contentOf = (file: Uint8Array, { offset, fileBytes }: Segment): Buffer =>
  Buffer.from(file).subarray(offset, offset + fileBytes);

test('withOwnLibraries() has the kernel map the code behind the other PT_LOADs, without PT_INTERP, and enter it', () => {
  const complete = withOwnLibraries(makeNode(), LIBRARIES);
  const header = readFileHeader(complete);
  const segments = readSegments(complete, header);
  assert.equal(typesOf(segments), [PT_PHDR, PT_LOAD, PT_LOAD, PT_LOAD, PT_NOTE]);
  const [self, , , code] = segments;
  assert.ok(self && code);
  assert.equal([code.flags, code.offset, code.address], [5, 65_536, 0x440000], 'R E, the next 64 KiB behind the end');
  assert.is(header.entry, code.address);
  assert.ok(contentOf(complete, code).subarray(0, CODE.length).equals(CODE));
  assert.equal([self.offset, self.fileBytes], [header.headersOffset, 5 * 56], 'PT_PHDR is the table that it is in');
});

test('withOwnLibraries() tells the code where the program, its headers and the libraries are', () => {
  const node = makeNode();
  const complete = Buffer.from(withOwnLibraries(node, LIBRARIES));
  const at = 65_536 + CODE.length;
  const words = Array.from({ length: 10 }, (_, i) => Number(complete.readBigUInt64LE(at + 8 * i)));
  const [entry, table = 0, count = 0, loader, loaderSize, libraries, ...places] = words;
  assert.equal([entry, count, libraries], [ENTRY, 5, 2]);
  assert.equal([loader, loaderSize], [131_072, 10]);
  assert.equal(places, [196_608, 5, 262_144, 10]);
  assert.is(complete.subarray(196_608, 196_613).toString(), 'first');
  assert.is(complete.subarray(262_144).toString(), 'the second');

  // The program's own headers: as they were, but for the one that says where they are.
  const headersOffset = table - 0x440000 + 65_536;
  const [self, ...others] = readSegments(complete, { entry: 0, headersOffset, headerCount: count });
  assert.equal([self?.type, self?.offset, self?.address, self?.fileBytes], [PT_PHDR, headersOffset, table, 5 * 56]);
  assert.equal(others, readSegments(node, readFileHeader(node)).slice(1));
});

test('withOwnLibraries() refuses what names no dynamic loader, itself included', () => {
  for (const executable of [makeNode(62, [PT_LOAD]), withOwnLibraries(makeNode(), LIBRARIES)])
    assert.throws(() => withOwnLibraries(executable, LIBRARIES), /PT_INTERP/);
});

test('findChange() finds every changed byte of a Node but those that may change', () => {
  const node = makeNode();
  const before = Buffer.from(node);
  const complete = withOwnLibraries(node, LIBRARIES);
  assert.ok(node.equals(before), 'withOwnLibraries() has changed its argument');
  assert.is(findChange(node, complete), undefined);
  const mayChange = (at: number): boolean =>
    at < 64 + 5 * 56 ||
    at === FUSE_AT + SENTINEL.length - 1 ||
    (at >= SYMBOLS.offset && at < SYMBOLS.offset + SYMBOLS.length);
  for (let at = 64; at < node.length; at++) {
    const changed = Uint8Array.from(complete);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.is(findChange(node, changed), mayChange(at) ? undefined : at);
  }
});

test('findChange() wants one fuse in Node, and each of its segments mapped', () => {
  const complete = withOwnLibraries(makeNode(), LIBRARIES);
  const [without, twice] = [makeNode(), makeNode()];
  without.fill(0, FUSE_AT, FUSE_AT + 8);
  twice.write(SENTINEL, 5000);
  for (const node of [without, twice]) assert.throws(() => findChange(node, complete), /must be in Node once/);
  const half = withOwnLibraries(makeNode(62, [PT_PHDR, PT_INTERP, PT_LOAD]), LIBRARIES);
  assert.type(findChange(makeNode(), half), 'number');
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
