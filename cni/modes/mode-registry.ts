// The modes by name, in the order in which they are told of.

import { bridgeMode } from './bridge/bridge.ts';
import { containerMode } from './shared/container.ts';
import { hostMode } from './shared/host.ts';
import type { Mode } from './mode.ts';
import { noneMode } from './none.ts';
import type { ModeTraits } from '../protocol/schema.ts';

export const MODES: readonly Mode[] = [bridgeMode, hostMode, containerMode, noneMode];

export const DEFAULT_MODE = bridgeMode;

/** Whether a mode of that name has a trait; false when there is no such mode. */
export function hasTrait(name: unknown, trait: keyof ModeTraits): boolean {
  return MODES.some((mode) => mode.name === name && mode[trait]);
}

/** The mode of that name; undefined when there is none. */
export function findMode(name: string): Mode | undefined {
  return MODES.find((mode) => mode.name === name);
}
