// The networks whose addresses are kept on this node, and how to ask for them: see ipam/inventory.ts.

import { dataDirOf } from '../../../ipam/local/host-local.ts';
import {
  findHeldAddress,
  type HeldAddress,
  listNetworks as listNetworksOnDisk,
  type NetworkInventory,
  takeInventory,
} from '../../../ipam/inventory.ts';
import type { IpamRequest } from '../../../ipam/driver.ts';
import { type NetworkConfig, networkConfigOf } from '../../protocol/config.ts';
import { Fields } from '../../protocol/fields.ts';
import { ipamRequest } from '../../verbs/ipam/ipam.ts';
import { type Call, NETWORK_OPTION } from '../cli/command.ts';
import { listNetworks } from './network-list.ts';

/** The types that keep their reservations in `dataDir`. */
const TYPES_ON_DISK = ['host-local', 'podlink-etcd'];

export const DATA_DIR_OPTION = {
  name: 'data-dir',
  value: 'DIR',
  summary: 'where reservations are (default: as the networks say, and /var/lib/cni/networks)',
  completes: 'directory',
} as const;

/** A network with reservations on this node. */
export interface AddressBook {
  readonly network: string;
  /** By what the configuration says now or, without one, by what an attachment was made with. */
  readonly request: IpamRequest;
  /** By what attachments on record were made with, where that has other ranges. */
  readonly earlier: readonly IpamRequest[];
  /** Whether the network is configured for podlink, or has attachments of it: else the files may be another plugin's. */
  readonly isOurs: boolean;
}

/** The networks that may have reservations, by name: those of podlink, and what else is in the data directories. */
export function listAddressBooks(call: Call): AddressBook[] {
  const wanted = call.valueOf(NETWORK_OPTION.name);
  const dataDir = call.valueOf(DATA_DIR_OPTION.name);
  const ours = listNetworks(call).flatMap(({ name, config, records }) => {
    const configs = [config, ...records.map((record) => attempt(() => networkConfigOf(record.config)))];
    // The configuration may name another directory by now than the one an attachment's address is in.
    const books = configs.flatMap((each) => (each ? (attempt(() => openBook(call, each)) ?? []) : []));
    return [...Map.groupBy(books, dataDirOf).values()].flatMap((ofDirectory) => {
      const [request, ...earlier] = firstOfEach(ofDirectory, (book) => JSON.stringify(rangesOf(book)));
      return request ? [{ network: name, request, earlier, isOurs: true }] : [];
    });
  });
  const known = new Set(ours.map(({ network, request }) => `${dataDirOf(request)} ${network}`));
  const dirs =
    dataDir === undefined ? [{}, ...ours.map(({ request }) => ({ dataDir: dataDirOf(request) }))] : [{ dataDir }];
  const others = dirs.flatMap((section) => {
    const ipam = new Fields(section, 'ipam');
    return listNetworksOnDisk({ ipam }).flatMap((network) => {
      const key = `${dataDirOf({ ipam })} ${network}`;
      if (known.has(key)) return [];
      known.add(key);
      const config = networkConfigOf({ name: network, cniVersion: '1.1.0' });
      return [{ network, request: requestFor(call, config, ipam), earlier: [], isOurs: false }];
    });
  });
  return [...ours, ...others]
    .filter(({ network }) => wanted === undefined || network === wanted)
    .filter(
      ({ request }) =>
        dataDir === undefined || dataDirOf(request) === dataDirOf({ ipam: new Fields({ dataDir }, 'ipam') }),
    )
    .sort((a, b) => (a.network < b.network ? -1 : 1));
}

/** Where ranges are configured: ipam/range/range-set.ts. */
function rangesOf({ ipam, runtimeConfig }: IpamRequest): unknown[] {
  const inSection = ['type', 'subnet', 'rangeStart', 'rangeEnd', 'gateway', 'ranges', 'exclude'];
  return [...inSection.map((key) => ipam.get(key)), runtimeConfig.get('ipRanges')];
}

/** Take stock of a network, of the ranges that are configured and of those that its attachments are from. */
export function takeStock({ request, earlier }: AddressBook): NetworkInventory {
  const inventory = takeInventory(request);
  const others = earlier.flatMap((each) => attempt(() => takeInventory(each)) ?? []);
  const ranges = [inventory, ...others].flatMap((each) => each.ranges);
  const rangeOf = new Map<string, string>(
    others.flatMap(({ reservations }) =>
      reservations.flatMap(({ address, range }) => (range === undefined ? [] : [[address, range] as const])),
    ),
  );
  return {
    ...inventory,
    ranges: firstOfEach(ranges, ({ range }) => range),
    reservations: inventory.reservations.map((held) => {
      const range = held.range ?? rangeOf.get(held.address);
      return range === undefined ? held : { ...held, range };
    }),
  };
}

function firstOfEach<Value>(values: readonly Value[], keyOf: (value: Value) => string): Value[] {
  return [...Map.groupBy(values, keyOf).values()].flatMap((group) => group.slice(0, 1));
}

/** Find who holds an address of a network; undefined when nobody does. */
export function findHolder({ request, earlier }: AddressBook, address: string): HeldAddress | undefined {
  const held = findHeldAddress(request, address);
  if (!held || held.range !== undefined) return held;
  const ofEarlier = earlier.map((each) => attempt(() => findHeldAddress(each, address)));
  return ofEarlier.find((found) => found?.range !== undefined) ?? held;
}

/** How a network's reservations are asked for; undefined when its IPAM keeps none on this node. */
function openBook(call: Call, config: NetworkConfig): IpamRequest | undefined {
  const section = config.fields.object('ipam');
  if (!section || !TYPES_ON_DISK.includes(section.string('type') ?? '')) return undefined;
  return requestFor(call, config, section);
}

function requestFor(call: Call, config: NetworkConfig, section: Fields): IpamRequest {
  const key = { network: config.name, containerId: '', ifname: '' };
  return ipamRequest({ key, config, cniArgs: new Map(), warn: call.warn }, section);
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    // Of a broken configuration listNetworks() has told already.
    return undefined;
  }
}
