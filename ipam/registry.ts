// The IPAM types that run inside this process; any other `ipam.type` is an executable of its own.

import type { IpamDriver } from './driver.ts';
import { etcdIpam } from './etcd/etcd.ts';
import { hostLocal } from './local/host-local.ts';
import { staticIpam } from './local/static.ts';

export const IPAM_DRIVERS: readonly IpamDriver[] = [hostLocal, staticIpam, etcdIpam];

/** Find the driver of an `ipam.type`; undefined for one that is not ours. */
export function findIpamDriver(type: string): IpamDriver | undefined {
  return IPAM_DRIVERS.find((driver) => driver.type === type);
}
