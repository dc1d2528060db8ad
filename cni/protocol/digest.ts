// Names that must be short and still tell apart what they stand for.

const FNV_OFFSET_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/**
 * 16 hexadecimal digits that depend on every character of a text: FNV-1a over its UTF-16 code units, 64 bits
 * (http://www.isthe.com/chongo/tech/comp/fnv/). Against accidents, not against somebody who looks for two texts of one digest. SHA-256 of node:crypto
 * takes 0.6 ms the first time, and a tenth of the startup snapshot.
 */
export function digestOf(text: string): string {
  let digest = FNV_OFFSET_BASIS;
  for (let i = 0; i < text.length; i++) {
    digest = BigInt.asUintN(64, (digest ^ BigInt(text.charCodeAt(i))) * FNV_PRIME);
  }
  return digest.toString(16).padStart(16, '0');
}
