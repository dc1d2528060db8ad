// Networks of several files that hand out the same addresses, podlink's and the stock bridge's with host-local: on one
// bridge two containers get one address, and of two bridges the host has a route to one only.

import { type ConfigurationDiagnosis, diagnose } from './configuration-diagnosis.ts';
import { bridgeNameOf, hasGateway } from '../../modes/bridge/config.ts';
import { configuredMode } from '../../modes/mode-selection.ts';
import type { AddressRange } from '../../../ipam/range/range.ts';
import { parseRangeSets } from '../../../ipam/range/range-set.ts';
import { overlaps, formatCidr } from '../../address/ip.ts';
import { networkConfigOf } from '../../protocol/config.ts';
import { isObject } from '../../protocol/fields.ts';
import { parseJson } from '../../protocol/json/json.ts';

export interface ConfFile {
  readonly file: string;
  readonly text: string;
}

/** Name the conflicts of a file with those before it. */
export interface SharedSubnet {
  readonly file: string;
  readonly diagnosis: ConfigurationDiagnosis;
}

/** A network that hands out addresses on a bridge. */
export interface BridgedNetwork {
  readonly file: string;
  readonly name: string;
  readonly bridge: string;
  readonly hasGateway: boolean;
  readonly ranges: readonly AddressRange[];
}

/** Compare the networks of all files with each other. */
export function findSharedSubnets(networks: readonly BridgedNetwork[]): SharedSubnet[] {
  return networks.flatMap((network, i) =>
    networks.slice(0, i).flatMap((earlier) => {
      const diagnosis = diagnoseShared(network, earlier);
      return diagnosis ? [{ file: network.file, diagnosis }] : [];
    }),
  );
}

function diagnoseShared(network: BridgedNetwork, earlier: BridgedNetwork): ConfigurationDiagnosis | undefined {
  // Of one name they have their reservations in common.
  if (network.name === earlier.name) return undefined;
  const isSameBridge = network.bridge === earlier.bridge;
  if (!isSameBridge && !(network.hasGateway && earlier.hasGateway)) return undefined;
  for (const range of network.ranges) {
    const other = earlier.ranges.find((each) =>
      isSameBridge ? sharesAddress(range, each) : sharesSubnet(range, each),
    );
    if (!other) continue;
    const parts = {
      subject: network.name,
      object: [earlier.name, earlier.file],
      found: [range, other].map(({ subnet }) => formatCidr(subnet)),
    };
    return isSameBridge
      ? diagnose('addresses-shared-on-bridge', { ...parts, of: network.bridge })
      : diagnose('subnet-shared-by-bridges', { ...parts, of: [network.bridge, earlier.bridge] });
  }
  return undefined;
}

function sharesAddress(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.start <= b.end && b.start <= a.end;
}

function sharesSubnet(a: AddressRange, b: AddressRange): boolean {
  return overlaps(formatCidr(a.subnet), formatCidr(b.subnet));
}

/** The networks of a file. What cannot be read has none here. */
export function bridgedNetworksOf({ file, text }: ConfFile): BridgedNetwork[] {
  const value = attempt(() => parseJson(text, file));
  if (!isObject(value) || typeof value.name !== 'string') return [];
  const { name, cniVersion, plugins } = value;
  const entries: readonly unknown[] = Array.isArray(plugins) ? plugins : [value];
  return entries.flatMap((entry) =>
    isObject(entry) && (entry.type === 'podlink' || entry.type === 'bridge')
      ? (attempt(() => networkOf(file, { ...entry, name, cniVersion })) ?? [])
      : [],
  );
}

/** Throws FieldError, CniError or IpamError for what `validate` tells elsewhere. */
function networkOf(file: string, raw: Record<string, unknown> & { name: string }): BridgedNetwork[] {
  const { fields, runtimeConfig } = networkConfigOf(raw);
  const ipam = fields.object('ipam');
  if (ipam?.string('type') !== 'host-local' || !configuredMode(fields).hasBridge) return [];
  // Of any version: how many addresses of a family one has room for is told elsewhere.
  const sets = parseRangeSets({ ipam, runtimeConfig, cniVersion: '1.1.0' });
  return [
    {
      file,
      name: raw.name,
      bridge: bridgeNameOf(fields),
      hasGateway: hasGateway(fields),
      ranges: sets.flatMap(({ ranges }) => ranges),
    },
  ];
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined; // the file's own check tells it
  }
}
