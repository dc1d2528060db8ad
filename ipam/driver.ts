// What the verbs ask of address management, whatever its kind.

import type { Fields } from '../cni/protocol/fields.ts';
import type { KeyTable } from '../cni/protocol/schema.ts';
import type { IpamDns } from './local/dns.ts';
import type { AttachmentOwner } from './errors.ts';
import type { NetnsFacts } from './store/reservation.ts';
import type { IpamRoute } from './range/route.ts';
import type { LockDirectory } from './store/store.ts';

/** A request about the network alone (STATUS, GC). */
export interface IpamNetworkRequest {
  readonly owner: Pick<AttachmentOwner, 'network'>;
  readonly cniVersion: string;
  /** The `ipam` section. */
  readonly ipam: Fields;
  readonly runtimeConfig: Fields;
  /** `args.cni` of the configuration. */
  readonly argsCni: Fields;
  /** CNI_ARGS. */
  readonly cniArgs: ReadonlyMap<string, string>;
  readonly lockDirectory: LockDirectory;
  /** Called with what the operator should know although the call succeeds. */
  readonly warn?: (message: string) => void;
}

/** A request about one attachment (ADD, DEL, CHECK). */
export interface IpamRequest extends IpamNetworkRequest, NetnsFacts {
  readonly owner: AttachmentOwner;
}

export interface IpamAddress {
  /** CIDR: the address with the prefix length of its subnet. */
  address: string;
  gateway?: string;
}

export interface IpamResult {
  ips: IpamAddress[];
  routes: IpamRoute[];
  dns: IpamDns;
}

export interface PreparedIpam {
  /** Reserve the addresses. On any failure everything taken in this call is released again. */
  allocate(): IpamResult | Promise<IpamResult>;
}

/** A reservation that GC removed; without a container ID if it named nobody. */
export interface CollectedReservation {
  readonly address: string;
  readonly containerId: string;
  readonly ifname?: string;
}

/**
 * Every method throws FieldError or IpamError, and AggregateError of these where several things failed. What may have to
 * ask another machine answers with a promise, which rejects with the same.
 */
export interface IpamDriver {
  readonly type: string;
  /** The keys of the `ipam` section, but for `type`. */
  readonly keys: KeyTable;
  /** Parse and validate everything that allocate() will need. Changes nothing. */
  prepare(request: IpamRequest): PreparedIpam;
  /** Release all addresses of the owner. Success when there are none; needs no more than the owner and the store's place. */
  release(request: IpamRequest): void | Promise<void>;
  /**
   * Throw IpamError 'missing' unless these addresses (CIDRs) are this owner's. The gateway is compared only for those given
   * with the object that has it.
   */
  check(request: IpamRequest, ips: readonly (string | IpamAddress)[]): void | Promise<void>;
  /** Throw if an allocation would fail: bad configuration, no free address ('exhausted'), no writable store ('store'). */
  status(request: IpamNetworkRequest): void | Promise<void>;
  /** Release every address of the network whose owner is not among the valid ones, and tell which. */
  collect(
    request: IpamNetworkRequest,
    valid: readonly Pick<AttachmentOwner, 'containerId' | 'ifname'>[],
  ): CollectedReservation[] | Promise<CollectedReservation[]>;
}

/** A driver that asks nobody outside of this machine, and so makes nobody wait. */
export interface LocalIpamDriver extends IpamDriver {
  prepare(request: IpamRequest): { allocate(): IpamResult };
  release(request: IpamRequest): void;
  check(request: IpamRequest, ips: readonly (string | IpamAddress)[]): void;
  status(request: IpamNetworkRequest): void;
  collect(
    request: IpamNetworkRequest,
    valid: readonly Pick<AttachmentOwner, 'containerId' | 'ifname'>[],
  ): CollectedReservation[];
}
