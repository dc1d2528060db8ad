// An executable for glibc is turned into one that also starts where there is no glibc.
//
// Behind its last byte come a segment with the code of loader.c, its configuration and the program headers as they
// were, and after it the dynamic loader and the libraries as plain files. The header of the ELF file then names that
// code as the entry, and its program headers have that segment in the place of PT_INTERP. Nothing else is changed: what
// was injected into the executable before, such as the application in a PT_NOTE, is found where it was.
//
//   | the executable | loader.c's code | configuration | program headers | dynamic loader | library | …
//                    ^ a new PT_LOAD, R E, to the end of the program headers ^
//
// Source: the ELF-64 object file format; include/uapi/linux/elf.h. Little-endian, as both architectures are.

import { LOADER_CODE } from './loader-code.ts';

const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_PHDR = 6;
const PF_R_X = 5;
const HEADER_BYTES = 56; // struct elf64_phdr
const EM_X86_64 = 62;
const EM_AARCH64 = 183;

/** Kernels for arm64 have pages of up to 64 KiB, and what is mapped from a file begins at a page. */
const ALIGNMENT = 65_536;

export type Architecture = keyof typeof LOADER_CODE;

/** The contents of the dynamic loader and of every library that the program needs; libatomic is the first. */
export interface OwnLibraries {
  readonly loader: Uint8Array;
  readonly libraries: readonly Uint8Array[];
}

interface ProgramHeader {
  readonly bytes: Uint8Array;
  readonly type: number;
  readonly end: number;
}

/** The architecture of an executable. Throws TypeError for what is no ELF executable of a supported one. */
export function architectureOf(executable: Uint8Array): Architecture {
  const view = viewOf(executable);
  if (executable.length < 64 || view.getUint32(0) !== 0x7f454c46 || executable[4] !== 2 || executable[5] !== 1)
    throw new TypeError('Cannot add libraries: not a little-endian ELF-64 file');
  const machine = view.getUint16(18, true);
  if (machine === EM_X86_64) return 'x64';
  if (machine === EM_AARCH64) return 'arm64';
  throw new TypeError(`Cannot add libraries: machine ${machine} is neither x86-64 (62) nor AArch64 (183)`);
}

/**
 * Make an executable independent of the libraries of the node it runs on. Returns the new file's contents.
 *
 * Throws TypeError for what is no dynamically linked executable, so also for a second time.
 */
export function withOwnLibraries(executable: Uint8Array, own: OwnLibraries): Uint8Array {
  const code = Buffer.from(LOADER_CODE[architectureOf(executable)], 'base64');
  const view = viewOf(executable);
  const entry = view.getBigUint64(24, true);
  const headersOffset = Number(view.getBigUint64(32, true));
  const headers = readProgramHeaders(executable, headersOffset, view.getUint16(56, true));
  if (!headers.some(({ type }) => type === PT_INTERP))
    throw new TypeError('Cannot add libraries: the executable names no dynamic loader (PT_INTERP)');

  const offset = aligned(executable.length);
  const address = aligned(Math.max(...headers.filter(({ type }) => type === PT_LOAD).map(({ end }) => end)));
  const headersAt = code.length + 8 * 6 + 16 * own.libraries.length;
  const length = headersAt + headers.length * HEADER_BYTES;

  const files = [own.loader, ...own.libraries];
  const places: { offset: number; size: number }[] = [];
  let end = offset + length;
  for (const { length: size } of files) {
    places.push({ offset: aligned(end), size });
    end = aligned(end) + size;
  }

  const result = new Uint8Array(end);
  result.set(executable);
  result.set(code, offset);
  // struct configuration of loader.c
  const [loader, ...libraries] = places.map((place) => [place.offset, place.size]);
  const configuration = [
    entry,
    address + headersAt,
    headers.length,
    ...(loader ?? []),
    libraries.length,
    ...libraries.flat(),
  ];
  const out = viewOf(result);
  configuration.forEach((value, i) => {
    out.setBigUint64(offset + code.length + 8 * i, BigInt(value), true);
  });
  for (const [i, { bytes, type }] of headers.entries()) {
    const at = offset + headersAt + i * HEADER_BYTES;
    result.set(bytes, at);
    if (type === PT_PHDR) writeSegment(out, at, offset + headersAt, address + headersAt, headers.length * HEADER_BYTES);
  }
  places.forEach((place, i) => {
    result.set(files[i] ?? new Uint8Array(), place.offset);
  });

  // The kernel's program headers: PT_INTERP goes, and the new segment comes behind the others, since kernels take the
  // PT_LOADs to be in ascending order.
  const last = headers.findLastIndex(({ type }) => type === PT_LOAD);
  let at = headersOffset;
  for (const [i, { bytes, type }] of headers.entries()) {
    if (type !== PT_INTERP) {
      result.set(bytes, at);
      at += HEADER_BYTES;
    }
    if (i === last) {
      out.setUint32(at, PT_LOAD, true);
      out.setUint32(at + 4, PF_R_X, true);
      writeSegment(out, at, offset, address, length);
      out.setBigUint64(at + 48, BigInt(ALIGNMENT), true);
      at += HEADER_BYTES;
    }
  }
  out.setBigUint64(24, BigInt(address), true);
  return result;
}

function readProgramHeaders(executable: Uint8Array, offset: number, count: number): ProgramHeader[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = executable.slice(offset + i * HEADER_BYTES, offset + (i + 1) * HEADER_BYTES);
    if (bytes.length < HEADER_BYTES) throw new TypeError('Cannot add libraries: the ELF file is cut off');
    const view = viewOf(bytes);
    // p_type u32 0, p_vaddr u64 16, p_memsz u64 40
    const end = Number(view.getBigUint64(16, true) + view.getBigUint64(40, true));
    return { bytes, type: view.getUint32(0, true), end };
  });
}

/** p_offset u64 8, p_vaddr u64 16, p_paddr u64 24, p_filesz u64 32, p_memsz u64 40. */
function writeSegment(view: DataView, at: number, offset: number, address: number, length: number): void {
  [offset, address, address, length, length].forEach((value, i) => {
    view.setBigUint64(at + 8 + 8 * i, BigInt(value), true);
  });
}

function aligned(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
