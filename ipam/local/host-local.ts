// Addresses from ranges of this host, reserved in files: the reference host-local's configuration, files and results.
//
// More than the reference: CHECK looks for the very addresses of the attachment, STATUS and GC exist, and DEL needs
// nothing of the configuration but `dataDir`.

import { join } from 'node:path';
import { FieldError } from '../../cni/protocol/fields.ts';
import { readKey } from '../../cni/protocol/schema.ts';
import { formatAddress, parseCidr } from '../../cni/address/ip.ts';
import { parseAddressAt } from '../../cni/protocol/address.ts';
import { allocate, ensureFreeAddress } from './allocator.ts';
import { openDiskStore } from '../store/disk-store.ts';
import { readResolvConf } from './dns.ts';
import { HOST_LOCAL_KEYS, HOST_LOCAL_TABLE } from './host-local-keys.ts';
import type { CollectedReservation, IpamAddress, IpamNetworkRequest, IpamRequest, LocalIpamDriver } from '../driver.ts';
import { IpamError, throwCollected } from '../errors.ts';
import { findRange, parseRangeSets, type RangeSet } from '../range/range-set.ts';
import { assignRequested } from '../range/requested-address.ts';
import {
  describeHolder,
  describeTaken,
  type NetnsFacts,
  type OwnerName,
  type Reservation,
} from '../store/reservation.ts';
import { INDEX_DIRECTORY } from '../store/reservation-index.ts';
import { parseRoutes } from '../range/route.ts';
import type { OpenStore, Store } from '../store/store.ts';

export const hostLocal: LocalIpamDriver = createHostLocal(openDiskStore);

/** Make the driver on another kind of store; the reservations of a network are in `<dataDir>/<network>`. */
export function createHostLocal(openStore: OpenStore): LocalIpamDriver {
  const open = (request: IpamNetworkRequest) => openStore(directoryOf(request), request.lockDirectory);

  return {
    type: 'host-local',
    keys: HOST_LOCAL_TABLE,

    prepare(request) {
      const sets = parseRangeSets(request);
      parseThreshold(request);
      if (sets.length === 0)
        throw new IpamError(
          'config',
          `No IP ranges specified for network "${request.owner.network}": "ipam" needs "ranges" or "subnet", or the runtime must pass "ipRanges"`,
        );
      const requested = assignRequested(request, sets);
      const routes = parseRoutes(request.ipam);
      const dns = readResolvConf(request.ipam);
      const store = open(request);
      const { owner, warn = () => undefined } = request;
      const netns = netnsFactsOf(request);
      return {
        allocate() {
          const addresses = store.locked(() => allocate(store, { owner, sets, requested, netns, warn }));
          return { ips: addresses.map((address) => describeAddress(address, sets)), routes, dns };
        },
      };
    },

    release(request) {
      const store = open(request);
      if (!store.exists()) return;
      store.locked(() => releaseEach(store, store.findByOwner(request.owner), request.owner.network));
    },

    check(request, ips) {
      const store = open(request);
      const addresses = ips.map(addressOf);
      if (!store.exists()) throw notReserved(addresses[0], request, undefined);
      store.locked(() => {
        const wrong = addresses.find((address) => !isOwnedBy(store.find(address), request.owner));
        if (wrong !== undefined) throw notReserved(wrong, request, store.find(wrong));
        // Without a result to compare with, any address will do, as in the reference.
        if (addresses.length === 0 && store.findByOwner(request.owner).length === 0)
          throw notReserved(undefined, request, undefined);
      });
    },

    status(request) {
      const sets = parseRangeSets(request);
      const threshold = parseThreshold(request);
      parseRoutes(request.ipam);
      readResolvConf(request.ipam);
      const store = open(request);
      store.ensureWritable();
      // No range at all is no fault here: where they come as `ipRanges` of the runtime, STATUS is not told them.
      if (sets.length > 0) ensureFreeAddress(store, request.owner.network, sets, threshold);
    },

    collect(request, valid) {
      const store = open(request);
      if (!store.exists()) return [];
      return store.locked(() => {
        const stale = store.list().filter((reservation) => isStale(reservation, valid));
        return releaseEach(store, stale, request.owner.network);
      });
    },
  };
}

/** From how many percent of taken addresses on STATUS is to say that there are no more; undefined: only from 100. */
function parseThreshold({ ipam }: IpamNetworkRequest): number | undefined {
  return readKey(ipam, HOST_LOCAL_KEYS, 'statusThresholdPercent');
}

function netnsFactsOf({ netnsPath, netnsIdentity }: NetnsFacts): NetnsFacts {
  return { ...(netnsPath !== undefined && { netnsPath }), ...(netnsIdentity !== undefined && { netnsIdentity }) };
}

/** The directory that keeps all networks. Throws FieldError. */
export function dataDirOf({ ipam }: Pick<IpamNetworkRequest, 'ipam'>): string {
  return readKey(ipam, HOST_LOCAL_KEYS, 'dataDir');
}

/** The directory of one network. Throws FieldError. */
export function directoryOf({ ipam, owner }: Pick<IpamNetworkRequest, 'ipam' | 'owner'>): string {
  const { network } = owner;
  if (['', '.', '..', INDEX_DIRECTORY].includes(network) || network.includes('/'))
    throw new RangeError(`Not a network name: "${network}"`);
  return join(dataDirOf({ ipam }), network);
}

function describeAddress(text: string, sets: readonly RangeSet[]): IpamAddress {
  const address = parseAddressAt('address', text);
  const range = sets.map((set) => findRange(set, address)).find((found) => found !== undefined);
  if (range === undefined) throw new RangeError(`${text} is in none of the ranges it was allocated from`);
  return { address: `${text}/${range.subnet.prefixLength}`, gateway: range.gateway };
}

/** Release all of them, whatever fails, and then throw what failed. */
function releaseEach(store: Store, reservations: readonly Reservation[], network: string): CollectedReservation[] {
  const errors: unknown[] = [];
  const released = reservations.filter(({ address }) => {
    try {
      return store.release(address);
    } catch (error) {
      errors.push(error);
      return false;
    }
  });
  throwCollected(errors, `Cannot release ${errors.length} addresses of network "${network}"`);
  return released.map(({ abandoned: _, ...reservation }) => reservation);
}

function isOwnedBy(reservation: Reservation | undefined, owner: OwnerName): boolean {
  if (reservation?.containerId !== owner.containerId) return false;
  return reservation.ifname === undefined || reservation.ifname === owner.ifname;
}

function isStale(reservation: Reservation, valid: readonly OwnerName[]): boolean {
  if (reservation.containerId === '') return reservation.abandoned;
  return !valid.some((owner) => isOwnedBy(reservation, owner));
}

/** The canonical address of a CIDR in a result. */
function addressOf(ip: string | IpamAddress): string {
  const text = typeof ip === 'string' ? ip : ip.address;
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new FieldError('ips', `must be in CIDR notation, is "${text}"`);
  return formatAddress(cidr);
}

function notReserved(address: string | undefined, { owner }: IpamRequest, held: Reservation | undefined): IpamError {
  const whose = `${describeHolder(owner)} in network "${owner.network}"`;
  if (address === undefined) return new IpamError('missing', `No address is reserved for ${whose}`);
  const state = held ? describeTaken(address) : 'nobody has reserved it, so that another can get it';
  return new IpamError(
    'missing',
    `Address ${address} is not reserved for ${whose}: ${state}`,
    held ? { owner: held } : {},
  );
}
