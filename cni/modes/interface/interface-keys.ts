// The keys of every mode that makes an interface for the container: its MTU and its MAC address.

import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES } from '../../protocol/errors.ts';
import { FieldError, type Fields } from '../../protocol/fields.ts';
import { readMac } from '../../protocol/mac.ts';
import { type KeyNotes, type KeyRows, type KeySection, readKey } from '../../protocol/schema.ts';
import type { ModeRequest } from '../mode.ts';

/** Ethernet's smallest and the kernel's largest MTU, in bytes (include/uapi/linux/if_ether.h: ETH_MIN_MTU, ETH_MAX_MTU). */
const MIN_MTU = 68;
const MAX_MTU = 65535;

export const INTERFACE_KEYS = {
  mtu: { type: 'integer', min: 0, max: MAX_MTU, read: mtuAt },
  mac: { type: 'string', read: macAt },
} as const satisfies KeyRows;

export const INTERFACE_NOTES = (): KeyNotes<typeof INTERFACE_KEYS> => ({
  mtu: {
    about: 'Of the link, at both ends, and of a bridge that is made; at least 68, and 1280 with IPv6 addresses.',
    unit: 'bytes',
    otherwise: "the kernel's",
  },
  mac: {
    about:
      "Of the container's interface, and refused in a mode without one. The capability `mac`, `args.cni.mac` and CNI_ARGS `MAC` come before it, in this order.",
    otherwise: "the kernel's choice",
    // Refused by cni/features/tuning where there is no such interface.
    needs: 'nothing',
  },
});

export const INTERFACE_CAPABILITIES = (): KeySection['capabilities'] => ({
  mac: { about: "The MAC address of the container's interface, in the place of the key `mac`." },
});

/** The MTU that is asked for, in bytes; undefined leaves the kernel's default. Throws FieldError. */
export function wantedMtu({ config: { fields, argsCni } }: ModeRequest): number | undefined {
  return fields.part(() => mtuAt(argsCni, 'mtu')) ?? readKey(fields, INTERFACE_KEYS, 'mtu');
}

/**
 * The MAC address that is asked for; undefined lets the kernel choose. The capability wins over `args`, which wins over
 * CNI_ARGS (CNI CONVENTIONS.md), and all of them over the configuration. Throws FieldError or CniError 4.
 */
export function wantedMac({ config, cniArgs }: ModeRequest): string | undefined {
  const { runtimeConfig, argsCni, fields } = config;
  const asked = macAt(runtimeConfig, 'mac') ?? macAt(argsCni, 'mac');
  if (asked !== undefined) return asked;
  const mac = cniArgs.get('MAC');
  if (!mac) return readKey(fields, INTERFACE_KEYS, 'mac');
  const found = readMac(mac);
  if ('mac' in found) return found.mac;
  throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid MAC in CNI_ARGS: ${found.fault}`);
}

/** 0 is the reference's spelling of "the kernel's default". */
function mtuAt(fields: Fields, key: string): number | undefined {
  const mtu = fields.integer(key, 0, MAX_MTU) ?? 0;
  if (mtu !== 0 && mtu < MIN_MTU) throw new FieldError(fields.at(key), `must be 0 or at least ${MIN_MTU}, is ${mtu}`);
  return mtu === 0 ? undefined : mtu;
}

function macAt(fields: Fields, key: string): string | undefined {
  const mac = fields.string(key);
  if (!mac) return undefined;
  const found = readMac(mac);
  if ('mac' in found) return found.mac;
  throw new FieldError(fields.at(key), found.fault);
}
