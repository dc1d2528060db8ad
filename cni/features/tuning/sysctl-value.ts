// Whether two texts are one value of a sysctl. The kernel prints what it has understood, not what was written: several
// words with tabs between them, hexadecimal and octal numbers as decimal ones, addresses in full, port lists in order.

import { canonicalAddress } from '../../address/ip.ts';
import type { SysctlKey } from '../../kernel/sysctl.ts';

/** The only sysctl of the network that is a set of numbers (proc_do_large_bitmap() in kernel/sysctl.c). */
const PORT_LIST = 'ip_local_reserved_ports';

/** Whether the kernel means the same by both. */
export function isSameSysctlValue(key: SysctlKey, a: string, b: string): boolean {
  if (a === b) return true;
  // Most are numbers, for which it does not take two regular expressions and a BigInt: 0.3 ms of an ADD.
  if (isPlainNumber(a) && isPlainNumber(b)) return false;
  const canonical = key.at(-1) === PORT_LIST ? canonicalPorts : canonicalWords;
  return canonical(a) === canonical(b);
}

/** Whether a text is a decimal number as the kernel prints it. */
function isPlainNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return text.length === 1 || (text.length > 1 && !text.startsWith('0'));
}

function canonicalWords(value: string): string {
  return value
    .split(/\s+/)
    .filter((word) => word !== '')
    .map(canonicalWord)
    .join(' ');
}

function canonicalWord(word: string): string {
  const [, sign = '', digits] = /^(-?)(\d+|0x[\da-f]+)$/i.exec(word) ?? [];
  if (digits !== undefined) return `${sign}${BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits)}`;
  try {
    // stable_secret, which the kernel prints with all its zeros.
    if (word.split(':').length > 2) return canonicalAddress(word);
  } catch {
    // Not an address: compared as text.
  }
  return word.toLowerCase();
}

/** Ranges that do not touch, in order: "8080,8081,22" → "22-22,8080-8081". */
function canonicalPorts(value: string): string {
  const ranges = value
    .split(/[\s,]+/)
    .filter((range) => range !== '')
    .map((range) => range.split('-').map(Number))
    .map(([first = 0, last = first]) => [first, last] as const)
    .toSorted(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of ranges) {
    const previous = merged.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else merged.push([first, last]);
  }
  return merged.map(([first, last]) => `${first}-${last}`).join(',');
}
