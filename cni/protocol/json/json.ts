// JSON text into values (RFC 8259), with errors for the person who wrote the text.

import { CniError, ERR_DECODING_FAILURE } from '../errors.ts';
import { describeJsonFault } from './json-fault.ts';

/**
 * Deepest nesting accepted. No CNI document goes beyond about ten levels; what recurses over values
 * (JSON.stringify among them) must never run out of stack.
 */
export const MAX_JSON_DEPTH = 256;

/**
 * Parse a JSON text.
 *
 * Throws CniError 6, `subject` and then what is wrong where, when it is not JSON, begins with a byte order mark,
 * goes on after its value, or nests deeper than MAX_JSON_DEPTH.
 */
export function parseJson(text: string, subject: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CniError(ERR_DECODING_FAILURE, `${subject}: ${describeJsonFault(text)}`, '', { cause });
  }
  if (isTooDeep(value))
    throw new CniError(ERR_DECODING_FAILURE, `${subject}: nested deeper than ${MAX_JSON_DEPTH} levels`);
  return value;
}

/** Level by level, since recursion is what is being guarded against. */
function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_JSON_DEPTH) return true;
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return false;
}
