// Which texts are MAC addresses in CNI's documents: all spellings that Go's net.ParseMAC takes, and twelve digits alone.
//
//   02:42:ac:11:00:02   02-42-AC-11-00-02   0242.ac11.0002   0242ac110002

import { describeValue } from './fields.ts';

/** One separator throughout; groups of two digits, or of four with dots. Whether there are six bytes is asked later. */
const SPELLINGS = /^(?:[\da-f]{2}(?:(?::[\da-f]{2})+|(?:-[\da-f]{2})+)|[\da-f]{4}(?:\.[\da-f]{4})+|[\da-f]{12})$/i;

/** Spell a MAC address as the kernel reports it, lower case with colons; undefined for a text that is none of six bytes. */
export function canonicalMac(text: string): string | undefined {
  const digits = digitsOf(text);
  return digits?.length === 12 ? withColons(digits) : undefined;
}

/**
 * Read the MAC address that an interface is to have. Returns its canonical spelling, or what is wrong with the text: it
 * must have Ethernet's six bytes, and be neither all zero nor multicast (is_valid_ether_addr() in etherdevice.h).
 */
export function readMac(text: string): { readonly mac: string } | { readonly fault: string } {
  const digits = digitsOf(text);
  const fault = (reason: string) => ({
    fault: `must be a unicast MAC address such as 02:00:0a:16:00:05, is ${describeValue(text)}${reason}`,
  });
  if (digits === undefined) return fault('');
  if (digits.length !== 12) return fault(`, which has ${digits.length / 2} bytes instead of 6`);
  if (digits === '000000000000') return fault(', which no interface can have');
  if (Number.parseInt(digits.slice(0, 2), 16) & 1)
    return fault(', which is a multicast address: its first byte is odd');
  return { mac: withColons(digits) };
}

function digitsOf(text: string): string | undefined {
  return SPELLINGS.test(text) ? text.replace(/[:.-]/g, '').toLowerCase() : undefined;
}

function withColons(digits: string): string {
  return digits.replace(/..(?!$)/g, '$&:');
}
