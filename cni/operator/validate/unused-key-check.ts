// Keys of an entry that no mode has a use for which a container can get by it: what is written for a bridge in an entry
// that only ever shares another namespace, or gives none but loopback.

import { MODE_NAMES } from '../../modes/mode-selection.ts';
import { isObject } from '../../protocol/fields.ts';
import { type Fault, valueAt, warning } from './fault.ts';
import { BRIDGE_KEYS } from './known-keys.ts';

/** `modes`: all that a container can get by the entry. */
export function checkUnusedKeys(config: Readonly<Record<string, unknown>>, modes: readonly string[]): Fault[] {
  const isWritten = (key: string): boolean => {
    const value = valueAt(config, key);
    return value !== undefined && !(isObject(value) && Object.keys(value).length === 0);
  };
  const isKnown = modes.every((mode) => MODE_NAMES.some((name) => name === mode));
  // With a mode that there is not, nobody knows which keys it was to use.
  if (!isKnown || modes.includes('bridge')) return [];
  const unused = [...BRIDGE_KEYS, ...(modes.includes('container') ? [] : ['target', 'targetPaths'])].filter(isWritten);
  if (unused.length === 0) return [];
  const names = [...new Set(modes)].map((mode) => `"${mode}"`).join(' or ');
  return [
    warning(
      `${unused.map((key) => `"${key}"`).join(', ')} ${unused.length > 1 ? 'have' : 'has'} no effect in mode ${names}`,
    ),
  ];
}
