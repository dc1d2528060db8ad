// What Node does at every start that is of no use to this executable, and takes a measurable part of the start, is turned
// off in Node's executable itself: a function that returns at once, a variable that begins with another value.

/** ELF64 (elf(5)): offsets in the file header, and sizes of what it points to. Little endian, as both architectures are. */
const PROGRAM_HEADERS = 32;
const SECTION_HEADERS = 40;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const PT_LOAD = 1;
const SHT_SYMTAB = 2;

/** `ret`, by e_machine. */
const RETURN = new Map([
  [62, [0xc3]], // x86-64
  [183, [0xc0, 0x03, 0x5f, 0xd6]], // AArch64
]);

/**
 * Let a function that returns nothing, named by its symbol, return as soon as it is called.
 *
 * Throws Error when there is no such function: it has another name in another version of Node.
 */
export function skipFunction(executable: Uint8Array, symbol: string): Uint8Array {
  const bytes = Buffer.from(executable);
  const instruction = RETURN.get(bytes.readUInt16LE(18));
  if (!instruction) throw new Error('Cannot change an executable for this architecture');
  bytes.set(instruction, findInFile(bytes, symbol));
  return bytes;
}

/**
 * Let a C int, named by its symbol, begin as `to` in place of `from`.
 *
 * Throws Error when there is no such variable, or when it begins as something else.
 */
export function setVariable(executable: Uint8Array, symbol: string, from: number, to: number): Uint8Array {
  const bytes = Buffer.from(executable);
  const at = findInFile(bytes, symbol);
  const found = bytes.readInt32LE(at);
  if (found !== from) throw new Error(`${symbol} begins as ${found} in this version of Node, and not as ${from}`);
  bytes.writeInt32LE(to, at);
  return bytes;
}

/** Where in the file that lies which a symbol stands for. */
function findInFile(bytes: Buffer, symbol: string): number {
  const address = findSymbol(bytes, symbol);
  const segment = headers(bytes, PROGRAM_HEADERS, 56, PROGRAM_HEADER_BYTES).find((header) => {
    const begin = header.readBigUInt64LE(16);
    return header.readUInt32LE(0) === PT_LOAD && address >= begin && address < begin + header.readBigUInt64LE(32);
  });
  if (!segment) throw new Error(`${symbol} is not in the file`);
  return Number(address - segment.readBigUInt64LE(16) + segment.readBigUInt64LE(8));
}

/** The address a symbol stands for. */
function findSymbol(bytes: Buffer, name: string): bigint {
  const sections = headers(bytes, SECTION_HEADERS, 60, SECTION_HEADER_BYTES);
  const table = sections.find((header) => header.readUInt32LE(4) === SHT_SYMTAB);
  const strings = table && sections[table.readUInt32LE(40)];
  if (!table || !strings) throw new Error('The executable has no symbols');
  // Found by its text first: there are 160,000 symbols. Names may be the end of others, so the zeros belong to them.
  const names = contentOf(bytes, strings);
  const nameAt = names.indexOf(`\0${name}\0`, 0, 'latin1') + 1;
  const symbols = contentOf(bytes, table);
  for (let at = 0; nameAt > 0 && at < symbols.length; at += SYMBOL_BYTES) {
    if (symbols.readUInt32LE(at) === nameAt) return symbols.readBigUInt64LE(at + 8);
  }
  throw new Error(`There is no ${name} in this version of Node`);
}

/** The headers of a table: its offset is at one place of the file header, their number at another. */
function headers(bytes: Buffer, offsetAt: number, countAt: number, size: number): Buffer[] {
  const offset = Number(bytes.readBigUInt64LE(offsetAt));
  const count = bytes.readUInt16LE(countAt);
  return Array.from({ length: count }, (_, i) => bytes.subarray(offset + i * size, offset + (i + 1) * size));
}

function contentOf(bytes: Buffer, section: Buffer): Buffer {
  const offset = Number(section.readBigUInt64LE(24));
  return bytes.subarray(offset, offset + Number(section.readBigUInt64LE(32)));
}
