// `ipam ls|show|release`: who holds which address, and to have one free again.

import { formatAddress, parseAddress } from '../../address/ip.ts';
import { type HeldAddress, type NetworkInventory, releaseAddress } from '../../../ipam/inventory.ts';
import { describeHolder } from '../../../ipam/store/reservation.ts';
import { listRecords } from '../../attachment/record-store.ts';
import { type AddressBook, DATA_DIR_OPTION, findHolder, listAddressBooks, takeStock } from '../listing/address-book.ts';
import { formatAge, formatTime } from '../listing/age.ts';
import { type Call, type Command, CommandError, CONF_DIR_OPTION, NETWORK_OPTION, UsageError } from '../cli/command.ts';
import { count, formatPairs, formatTable, printable, type Style } from '../cli/text-table.ts';

const OPTIONS = [NETWORK_OPTION, CONF_DIR_OPTION, DATA_DIR_OPTION];

const STATES: Readonly<Record<HeldAddress['state'], string>> = {
  held: 'held',
  nobody: 'nobody (a crash left it)',
  outlived: 'outlived (from before a reboot)',
};

export const ipamListCommand: Command = {
  name: 'ipam ls',
  summary: 'list the reserved addresses, and how full the ranges are',
  description:
    'Also of other plugins that use the same files (host-local). What a crash left and what is from before a reboot is reclaimed when a range is full, by GC and by "podlink gc". Of a pool that a cluster shares, this node\'s own blocks are counted ("podlink ipam nodes" shows the others).',
  arguments: [],
  options: OPTIONS,
  run(call) {
    const inventories = listAddressBooks(call)
      .map(takeStock)
      .filter(({ ranges, reservations, strays }) => ranges.length + reservations.length + strays.length > 0);
    return { json: inventories, text: (style) => describeInventories(inventories, new Date(), style) };
  },
};

export const ipamShowCommand: Command = {
  name: 'ipam show',
  summary: 'show who holds an address',
  arguments: [{ name: 'ADDRESS', isRequired: true }],
  options: OPTIONS,
  run(call) {
    const found = findHolders(call, addressArgument(call));
    if (found.length === 0) throw nobodyHolds(call);
    return {
      json: found.map(({ book, held }) => ({ network: book.network, ...held, attached: isAttached(call, book, held) })),
      text: () => found.map(({ book, held }) => describeHeld(call, book, held)).join('\n\n'),
    };
  },
};

export const ipamReleaseCommand: Command = {
  name: 'ipam release',
  summary: 'release an address that nobody uses any more',
  description:
    'Refused while the attachment that holds it is on record: DEL releases it then. --force releases it all the same, and another container may get an address that still answers.',
  arguments: [{ name: 'ADDRESS', isRequired: true }],
  options: [...OPTIONS, { name: 'force', summary: 'also while its attachment is on record' }],
  run(call) {
    const address = addressArgument(call);
    const found = findHolders(call, address);
    const [first, ...others] = found;
    if (!first) throw nobodyHolds(call);
    if (others.length > 0) {
      const networks = found.map(({ book }) => book.network).join(', ');
      throw new CommandError(
        `${address} is reserved in ${found.length} networks (${networks}): name one with --network`,
      );
    }
    const { book, held } = first;
    if (isAttached(call, book, held) && !call.isSet('force')) {
      throw new CommandError(
        `${address} is held by ${describeHolder(held)}, whose attachment is on record: DEL or "podlink gc" releases it (--force releases it all the same)`,
      );
    }
    const { ifname = '' } = held;
    // Only if its holder is still the one that was looked at.
    const released = releaseAddress(book.request, address, { containerId: held.containerId, ifname });
    return {
      json: { network: book.network, ...released },
      text: () => `released ${released.address} of network "${book.network}", held by ${describeHolder(released)}`,
    };
  },
};

/** Throws UsageError for what is no address. */
function addressArgument({ args }: Call): string {
  const address = parseAddress(args[0] ?? '');
  if (address) return formatAddress(address);
  throw new UsageError(`ADDRESS must be an IP address, is "${printable(args[0] ?? '')}"`);
}

function findHolders(call: Call, address: string): { book: AddressBook; held: HeldAddress }[] {
  return listAddressBooks(call).flatMap((book) => {
    const held = findHolder(book, address);
    return held ? [{ book, held }] : [];
  });
}

function nobodyHolds(call: Call): CommandError {
  const network = call.valueOf(NETWORK_OPTION.name);
  return new CommandError(
    `nobody has reserved ${call.args[0]}${network === undefined ? '' : ` in network "${network}"`}`,
  );
}

/** Whether the holder's attachment is on record. Without an interface on file, any of the container counts. */
function isAttached({ context }: Call, { network }: AddressBook, { containerId, ifname }: HeldAddress): boolean {
  return listRecords(context.runDir, network).some(
    (record) => record.containerId === containerId && (ifname === undefined || record.ifname === ifname),
  );
}

function describeHeld(call: Call, book: AddressBook, held: HeldAddress): string {
  const { reservedAt, netnsPath, range } = held;
  return formatPairs(
    (
      [
        ['address', held.address],
        ['network', book.network],
        ['holder', describeHolder(held)],
        ['state', STATES[held.state]],
        ['attachment', isAttached(call, book, held) ? 'on record' : 'not on record'],
        ['range', range ?? 'none of the configuration'],
        [
          'reserved',
          reservedAt === undefined ? '' : `${formatTime(reservedAt)} (${formatAge(reservedAt, new Date())} ago)`,
        ],
        ['namespace', netnsPath ?? ''],
      ] as const
    ).filter(([, value]) => value !== ''),
  );
}

function describeInventories(inventories: readonly NetworkInventory[], now: Date, style: Style): string {
  const ranges = inventories.flatMap(({ network, ranges }) =>
    ranges.map(({ range, blocks, size, taken }) => {
      const percent = size === 0 ? 0 : Math.round((taken / size) * 100);
      const share = size === 0 ? '' : `${percent}%`;
      return [
        network,
        blocks ? `${range} (${count(blocks.length, 'block')} of this node)` : range,
        formatSize(size),
        String(taken),
        // A node whose blocks are full claims another.
        percent >= 90 && !blocks ? ({ text: share, colour: 'yellow' } as const) : share,
      ];
    }),
  );
  const addresses = inventories.flatMap(({ network, reservations }) =>
    reservations.map(({ address, containerId, ifname = '', state, reservedAt }) => [
      address,
      network,
      containerId.slice(0, 12),
      ifname,
      reservedAt === undefined ? '' : formatAge(reservedAt, now),
      state === 'held' ? state : ({ text: STATES[state], colour: 'yellow' } as const),
    ]),
  );
  const strays = inventories.flatMap(({ directory, strays }) =>
    strays.map(({ name, problem }) => [`${directory}/${name}`, problem]),
  );
  const parts = [
    ranges.length > 0 ? formatTable(['NETWORK', 'RANGE', 'ADDRESSES', 'TAKEN', 'FULL'], ranges, style) : '',
    formatTable(['ADDRESS', 'NETWORK', 'CONTAINER', 'INTERFACE', 'AGE', 'STATE'], addresses, style),
    strays.length > 0 ? formatTable(['FILE', 'WHAT IT IS'], strays, style) : '',
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** Above a million the exact number is nobody's concern. */
function formatSize(size: number): string {
  return size > 1_000_000 ? size.toExponential(1).replace('e+', 'e') : String(size);
}
