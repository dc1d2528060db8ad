// Text in messages is UTF-8. By Buffer and not by TextEncoder and TextDecoder, of which a new one takes Node ten times as long.

export function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** What is no UTF-8 becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
