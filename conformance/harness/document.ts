// The documents of the CNI protocol as a runtime sees them. Every member is what may come, not what must.

export interface ResultInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
}

export interface ResultIp {
  readonly address: string;
  readonly gateway?: string;
  readonly interface?: number;
  /** "4" or "6", in 0.3.0 to 0.4.0 only. */
  readonly version?: string;
}

export interface ResultRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly priority?: number;
}

/** The ip4 and ip6 of 0.1.0 and 0.2.0. */
export interface OldResultIp {
  readonly ip: string;
  readonly gateway?: string;
  readonly routes?: readonly ResultRoute[];
}

export interface Result {
  readonly cniVersion?: string;
  readonly interfaces?: readonly ResultInterface[];
  readonly ips?: readonly ResultIp[];
  readonly routes?: readonly ResultRoute[];
  readonly dns?: Readonly<Record<string, unknown>>;
  readonly ip4?: OldResultIp;
  readonly ip6?: OldResultIp;
}

export interface ErrorDocument {
  readonly cniVersion?: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** A network configuration, as a case writes it. */
export interface Config {
  readonly cniVersion?: string;
  readonly name?: string;
  readonly type?: string;
  readonly [key: string]: unknown;
}

/** The address without its prefix. */
export function addressOf(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}
