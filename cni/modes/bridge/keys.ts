// The keys of bridge mode: those of the reference bridge plugin, with its defaults. Docker's `icc` and `internal`, which
// the mode reads as well, are cni/features/isolation's.

import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { isInterfaceName, newInterfaceNameFault } from '../../protocol/name.ts';
import { type KeyRows, keyTable, read } from '../../protocol/schema.ts';
import { INTERFACE_CAPABILITIES, INTERFACE_KEYS, INTERFACE_NOTES } from '../interface/interface-keys.ts';

const MAX_VLAN_ID = 4094;

const FLAG = { type: 'boolean', default: false } as const;
const TRUNK_ID = { type: 'integer', min: 1, max: MAX_VLAN_ID } as const;

const TRUNK_KEYS = { id: TRUNK_ID, minID: TRUNK_ID, maxID: TRUNK_ID } as const satisfies KeyRows;

/** All but those of the container's interface. */
export const BRIDGE_KEYS = {
  bridge: { type: 'string', default: 'cni0', read: bridgeNameAt },
  isGateway: FLAG,
  isDefaultGateway: FLAG,
  forceAddress: FLAG,
  hairpinMode: FLAG,
  promiscMode: FLAG,
  portIsolation: FLAG,
  vlan: { type: 'integer', min: 0, max: MAX_VLAN_ID, default: 0 },
  vlanTrunk: { type: 'objects', keys: TRUNK_KEYS, default: [], read: vlanTrunkAt },
  preserveDefaultVlan: FLAG,
  enabledad: FLAG,
  disableContainerInterface: FLAG,
} as const satisfies KeyRows;

export const BRIDGE_TABLE = keyTable({ ...BRIDGE_KEYS, ...INTERFACE_KEYS }, () => ({
  title: 'Mode bridge',
  needs: 'hasBridge',
  notes: {
    bridge: {
      about: "The bridge's own name, no alternative one; it is made if it is not there, and else adopted as it is.",
      pattern: '^[^\\s/:%]{1,15}$',
    },
    isGateway: "Give the bridge the gateway's addresses, and let the host forward.",
    isDefaultGateway: 'As `isGateway`, and give the container a default route of each family.',
    forceAddress: 'Replace an address of the bridge that is in the way.',
    hairpinMode: 'Let the port send a packet back out where it came in.',
    promiscMode: 'Make the bridge promiscuous; not together with `hairpinMode`.',
    portIsolation: "Isolate the port from the bridge's other isolated ports.",
    vlan: { about: 'The VLAN that the port is in without a tag; 0 for none.', kernel: 'VLAN filtering' },
    vlanTrunk: {
      about: 'The VLANs that the port is in with a tag.',
      kernel: 'VLAN filtering',
      keys: {
        id: 'One VLAN.',
        minID: 'The first of several, together with `maxID`.',
        maxID: 'The last of several.',
      },
    },
    preserveDefaultVlan: "Leave the port in the bridge's default VLAN too.",
    enabledad: "Look for duplicates of the container's IPv6 addresses, and wait for the answer (about 2 s).",
    disableContainerInterface: "Leave the container's interface down; not together with `ipam`.",
    ...INTERFACE_NOTES(),
  },
  capabilities: INTERFACE_CAPABILITIES(),
}));

function bridgeNameAt(fields: Fields, key: string): string | undefined {
  const name = fields.string(key);
  if (name === undefined) return undefined;
  // The kernel takes "%" for a pattern to number names by (dev_alloc_name()).
  if (!isInterfaceName(name) || name.includes('%')) {
    throw new FieldError(
      fields.at(key),
      `must be an interface name of 1 to 15 bytes without "/", ":", "%" or spaces, is ${describeValue(name)}`,
    );
  }
  const fault = name === 'lo' ? '"lo" is the loopback interface' : newInterfaceNameFault(name);
  if (fault !== undefined) throw new FieldError(fields.at(key), `must be a name that a bridge can have: ${fault}`);
  return name;
}

/** Sorted, each once. */
function vlanTrunkAt(fields: Fields, key: string): number[] | undefined {
  const entries = fields.objects(key);
  if (!entries) return undefined;
  const ids = new Set(fields.items(entries, fields.at(key), vlansOf).flat());
  return [...ids].sort((a, b) => a - b);
}

function vlansOf(entry: Fields): number[] {
  const { id, minID, maxID } = read(entry, TRUNK_KEYS);
  if (minID === undefined && maxID !== undefined)
    throw new FieldError(entry.at('minID'), 'must be given together with "maxID"');
  if (maxID === undefined && minID !== undefined)
    throw new FieldError(entry.at('maxID'), 'must be given together with "minID"');
  if (minID !== undefined && maxID !== undefined && minID > maxID)
    throw new FieldError(entry.at('minID'), `must not be greater than "maxID" ${maxID}, is ${minID}`);
  if (id === undefined && minID === undefined)
    throw new FieldError(entry.path, 'must hold "id", or "minID" and "maxID"');
  const ids = id === undefined ? [] : [id];
  if (minID !== undefined && maxID !== undefined) for (let vlan = minID; vlan <= maxID; vlan++) ids.push(vlan);
  return ids;
}
