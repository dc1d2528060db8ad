// The modes by name.

import { CniError, ERR_UNSUPPORTED_FIELD } from '../protocol/errors.ts';
import { FieldError, type Fields } from '../protocol/fields.ts';
import { bridgeMode } from './bridge.ts';
import type { Mode } from './mode.ts';

const MODES: ReadonlyMap<string, Mode> = new Map([bridgeMode].map((mode) => [mode.name, mode]));

/** Modes of the contract that are still to come: refused by name, so that nobody takes them for a typing error. */
const COMING = ['host', 'container', 'none'];

export const DEFAULT_MODE = bridgeMode;

/** The mode a configuration names. Throws FieldError for a name that is none. */
export function modeOf(fields: Fields): Mode {
  const name = fields.string('mode') ?? DEFAULT_MODE.name;
  const mode = MODES.get(name);
  if (mode) return mode;
  if (COMING.includes(name))
    throw new CniError(ERR_UNSUPPORTED_FIELD, `Unsupported in this version of podlink: "mode": "${name}"`);
  throw new FieldError(
    'mode',
    `must be one of ${[...MODES.keys()].map((word) => `"${word}"`).join(', ')}, is "${name}"`,
  );
}

/** The mode of that name, as a record has it; undefined when there is none. */
export function findMode(name: string): Mode | undefined {
  return MODES.get(name);
}
