import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { architectureOf, withOwnLibraries } from './executable.ts';
import { findOwnLibraries } from './library-source.ts';
import { LOADER_CODE, LOADER_SOURCE_SHA256 } from './loader-code.ts';

const test = suite('executable');

const [PT_LOAD, PT_INTERP, PT_NOTE, PT_PHDR] = [1, 3, 4, 6];
const ENTRY = 0x401234n;
const OWN = { loader: Buffer.from('the loader'), libraries: [Buffer.from('first'), Buffer.from('the second')] };

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** An ELF file of 8 KiB: header, program headers, and nothing that could run. */
function makeExecutable(
  machine = 62,
  types: readonly number[] = [PT_PHDR, PT_INTERP, PT_LOAD, PT_LOAD, PT_NOTE],
): Buffer {
  const file = Buffer.alloc(8192, 0xaa);
  file.fill(0, 0, 64);
  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeUInt16LE(2, 16); // e_type: ET_EXEC
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(ENTRY, 24);
  file.writeBigUInt64LE(64n, 32); // e_phoff
  file.writeUInt16LE(types.length, 56);
  types.forEach((type, i) => {
    const at = 64 + i * 56;
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(4, at + 4);
    [i * 100, 0x400000 + i * 0x10000, 0, 100, 0x9000, 8].forEach((value, k) => {
      file.writeBigUInt64LE(BigInt(value), at + 8 + 8 * k);
    });
  });
  return file;
}

function segmentsAt(file: Uint8Array, offset: number, count: number): Segment[] {
  const view = Buffer.from(file);
  return Array.from({ length: count }, (_, i) => {
    const at = offset + i * 56;
    const [fileOffset = 0, address = 0, , size = 0] = [8, 16, 24, 32].map((k) => Number(view.readBigUInt64LE(at + k)));
    return { type: view.readUInt32LE(at), flags: view.readUInt32LE(at + 4), offset: fileOffset, address, size };
  });
}

test('withOwnLibraries() puts a segment in the place of PT_INTERP, behind the other PT_LOADs, and enters it', () => {
  const result = Buffer.from(withOwnLibraries(makeExecutable(), OWN));
  const segments = segmentsAt(result, 64, 5);
  assert.equal(
    segments.map(({ type }) => type),
    [PT_PHDR, PT_LOAD, PT_LOAD, PT_LOAD, PT_NOTE],
  );
  const added = segments[3];
  assert.ok(added);
  assert.is(added.flags, 5);
  assert.is(added.address, 0x440000, 'the next 64 KiB behind the end of the last PT_LOAD');
  assert.is(added.offset, 65_536);
  assert.is(result.readBigUInt64LE(24), BigInt(added.address));
  const code = Buffer.from(LOADER_CODE.x64, 'base64');
  assert.ok(result.subarray(added.offset, added.offset + code.length).equals(code));
});

test('withOwnLibraries() tells the code where the program, its headers and the libraries are', () => {
  const original = makeExecutable();
  const result = Buffer.from(withOwnLibraries(original, OWN));
  const at = 65_536 + Buffer.from(LOADER_CODE.x64, 'base64').length;
  const words = Array.from({ length: 10 }, (_, i) => Number(result.readBigUInt64LE(at + 8 * i)));
  const [entry, headers = 0, count, loader, loaderSize, libraries, ...places] = words;
  assert.is(entry, Number(ENTRY));
  assert.is(count, 5);
  assert.is(libraries, 2);
  assert.equal([loader, loaderSize], [131_072, 10]);
  assert.equal(places, [196_608, 5, 262_144, 10]);
  assert.is(result.subarray(196_608, 196_613).toString(), 'first');
  assert.is(result.subarray(262_144).toString(), 'the second');

  // The program's own headers: as they were, but for the one that says where they are.
  const offset = headers - 0x440000 + 65_536;
  const [self, ...others] = segmentsAt(result, offset, 5);
  assert.equal(self, { type: PT_PHDR, flags: 4, offset, address: headers, size: 5 * 56 });
  assert.equal(others, segmentsAt(original, 64, 5).slice(1));
});

test('withOwnLibraries() leaves every other byte as it is, and its argument untouched', () => {
  const original = makeExecutable();
  const before = Buffer.from(original);
  const result = withOwnLibraries(original, OWN);
  assert.ok(original.equals(before));
  assert.ok(
    Buffer.from(result)
      .subarray(64 + 5 * 56, 8192)
      .equals(original.subarray(64 + 5 * 56)),
  );
});

test('withOwnLibraries() refuses what names no dynamic loader, itself included', () => {
  const isRefused = (error: Error) => error instanceof TypeError && error.message.includes('PT_INTERP');
  assert.throws(() => withOwnLibraries(makeExecutable(62, [PT_LOAD]), OWN), isRefused);
  assert.throws(() => withOwnLibraries(withOwnLibraries(makeExecutable(), OWN), OWN), isRefused);
});

test('architectureOf() knows x86-64 and AArch64, and refuses all else', () => {
  assert.is(architectureOf(makeExecutable(62)), 'x64');
  assert.is(architectureOf(makeExecutable(183)), 'arm64');
  const isTypeError = (error: Error) => error instanceof TypeError && error.message.startsWith('Cannot add libraries');
  for (const bytes of [makeExecutable(243), Buffer.alloc(0), Buffer.from('#!/bin/sh\n'.padEnd(100))])
    assert.throws(() => architectureOf(bytes), isTypeError);
});

test('findOwnLibraries() finds what this Node runs on', () => {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const own = findOwnLibraries(architecture);
  assert.is(own?.libraries.length, 7);
  for (const file of [own?.loader ?? Buffer.alloc(0), ...(own?.libraries ?? [])]) {
    assert.is(architectureOf(file), architecture);
  }
});

test('loader-code.ts was compiled from this loader.c', () => {
  const source = readFileSync(join(import.meta.dirname, 'loader.c'));
  assert.is(LOADER_SOURCE_SHA256, createHash('sha256').update(source).digest('hex'), 'run compile-loader.ts');
});

test.run();
