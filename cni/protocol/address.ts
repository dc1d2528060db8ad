// Which texts are IP addresses and prefixes in CNI's documents.

import { Address4, Address6 } from 'ip-address';

export type Family = 4 | 6;

/** Tell the family of an IP address without prefix length and zone; undefined when the text is not one. */
export function addressFamily(text: string): Family | undefined {
  if (/[/%]/.test(text)) return undefined;
  if (Address4.isValid(text)) return 4;
  return Address6.isValid(text) ? 6 : undefined;
}

/** Tell the family of `ADDRESS/PREFIXLENGTH`, both parts required; undefined when the text is not that. */
export function cidrFamily(text: string): Family | undefined {
  const [address = '', prefixLength = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(prefixLength)) return undefined;
  const family = addressFamily(address);
  if (family === undefined || Number(prefixLength) > (family === 4 ? 32 : 128)) return undefined;
  return family;
}
