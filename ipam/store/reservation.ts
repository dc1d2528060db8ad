// The text of a reservation, as the reference host-local writes it: container ID, CRLF, interface name, nothing after.
// Its first releases wrote the container ID alone; files that a crash or a full disk left behind can be empty, or hold
// NUL bytes where the file system had allocated but not written.

import type { AttachmentOwner } from '../errors.ts';

export interface Reservation {
  /** Canonical text. */
  readonly address: string;
  /** Empty when the reservation names nobody. */
  readonly containerId: string;
  /** Missing in the oldest format, which holds for every interface of the container. */
  readonly ifname?: string;
  /** It names nobody, and not because somebody is just now writing it: nobody will ever release it. */
  readonly abandoned: boolean;
}

/** Where an owner lives, as far as the caller knows. */
export interface NetnsFacts {
  /** The path the runtime gave. */
  readonly netnsPath?: string;
  /** `device:inode` of the namespace. */
  readonly netnsIdentity?: string;
}

/** What is known of a reservation beyond the reference's text, if podlink made it. */
export interface ReservationFacts extends NetnsFacts {
  /** Boot and machine it was made in (node-identity.ts). */
  readonly boot?: string;
  readonly machine?: string;
  /** ISO 8601. */
  readonly reservedAt?: string;
}

export type OwnerName = Pick<AttachmentOwner, 'containerId' | 'ifname'>;

export function formatOwner(owner: OwnerName): string {
  return `${owner.containerId.trim()}\r\n${owner.ifname}`;
}

export function parseOwner(text: string): { containerId: string; ifname?: string } {
  const [containerId = '', ifname = ''] = text
    .replaceAll('\0', '')
    .trim()
    .split(/\r?\n/)
    .map((line) => line.trim());
  return ifname === '' ? { containerId } : { containerId, ifname };
}

/**
 * Choose the reservations of an owner: those that name container and interface and, only if there are none of these,
 * those of the oldest format that name its container.
 */
export function selectOwned(reservations: readonly Reservation[], owner: OwnerName): Reservation[] {
  const ofContainer = reservations.filter(({ containerId }) => containerId === owner.containerId.trim());
  const exact = ofContainer.filter(({ ifname }) => ifname === owner.ifname);
  return exact.length > 0 ? exact : ofContainer.filter(({ ifname }) => ifname === undefined);
}

/** `container "abc" (eth0)`, for errors. */
export function describeHolder(holder: { readonly containerId: string; readonly ifname?: string }): string {
  if (holder.containerId === '') return 'nobody (an empty file, as a crash leaves it)';
  return `container "${holder.containerId}"${holder.ifname === undefined ? '' : ` (${holder.ifname})`}`;
}

/** Say that somebody else holds an address, without naming him: errors are read by whoever started the container. */
export function describeTaken(address: string): string {
  return `it is held by another container ("podlink ipam show ${address}" names it)`;
}
