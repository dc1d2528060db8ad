// Addresses of one pool for a whole cluster. etcd says which node has which block of the pool; within its blocks a node
// hands out addresses by itself, with host-local's files and allocator, so that an ADD asks etcd only when the node's
// blocks are full. (An allocation in the cluster's store for every address does not scale:
// k8snetworkplumbingwg/whereabouts#313, #127, #458.)
//
// While etcd cannot be reached, ADD goes on in the node's own blocks, and DEL and CHECK need it not at all.

import { FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { formatAddress, parseAddress, parseCidr } from '../../cni/address/ip.ts';
import { parseAddressAt } from '../../cni/protocol/address.ts';
import { type AllocationPlan, allocate, ensureFreeAddress, noneAvailable, setAt } from '../local/allocator.ts';
import { type BlockSizes, isInBlock, restrictToBlocks } from './block.ts';
import { BlockLedger, type LeftBlocks, type Want } from './block-ledger.ts';
import { openDiskStore } from '../store/disk-store.ts';
import { readResolvConf } from '../local/dns.ts';
import type { IpamAddress, IpamDriver, IpamNetworkRequest } from '../driver.ts';
import { IpamError } from '../errors.ts';
import { EtcdClaims } from './etcd-claims.ts';
import {
  connectGateway,
  EtcdClient,
  EtcdRefusedError,
  type EtcdTransport,
  EtcdUnreachableError,
} from './etcd-client.ts';
import { type EtcdConfig, parseBlockSizes, parseEtcdConfig } from './etcd-config.ts';
import { ETCD_TABLE } from './etcd-keys.ts';
import { createHostLocal, directoryOf } from '../local/host-local.ts';
import { findRange, formatRangeSet, parseRangeSets, type RangeSet } from '../range/range-set.ts';
import { assignRequested } from '../range/requested-address.ts';
import { parseRoutes } from '../range/route.ts';
import { LOCK_TIMEOUT_MS, type OpenStore, type Store } from '../store/store.ts';

export type ConnectEtcd = (config: EtcdConfig) => EtcdTransport;

/** How often an ADD claims a block and finds it used up by others. */
const MAX_CLAIMS = 20;

/** How long STATUS may wait for etcd in all: a runtime asks every few seconds, and takes no answer for a node that is broken. */
const STATUS_LIMIT_MS = 2000;

export const etcdIpam: IpamDriver = createEtcdIpam(openDiskStore, connectGateway);

/** The network's configuration, accepted. */
interface Pool {
  readonly network: string;
  readonly config: EtcdConfig;
  readonly sets: readonly RangeSet[];
  readonly sizes: BlockSizes;
  readonly store: Store;
  readonly ledger: BlockLedger;
}

/** What could not be allocated for want of a block. */
interface Lack {
  readonly setIndex: number;
  readonly address?: string | undefined;
}

/** Give this node's own blocks of a network back: see BlockLedger.leave(). Throws as an ADD does. */
export function leaveCluster(
  request: IpamNetworkRequest,
  options: { readonly force: boolean },
  connect: ConnectEtcd = connectGateway,
): Promise<LeftBlocks> {
  return openPool(request, openDiskStore, connect).ledger.leave(options);
}

/** The claims of a network, for the operator: listNodes(), list(), releaseNode(). Throws FieldError. */
export function openClaims(ipam: Fields, network: string, connect: ConnectEtcd = connectGateway): EtcdClaims {
  const config = parseEtcdConfig(ipam);
  return new EtcdClaims(new EtcdClient(connect(config)), config.prefix, network);
}

/** Make the driver on another kind of store or another way to etcd. */
export function createEtcdIpam(openStore: OpenStore, connect: ConnectEtcd): IpamDriver {
  const local = createHostLocal(openStore);
  const open = (request: IpamNetworkRequest) => openPool(request, openStore, connect);

  return {
    type: 'podlink-etcd',
    keys: ETCD_TABLE,

    prepare(request) {
      const pool = open(request);
      requireRanges(pool);
      const requested = assignRequested(request, pool.sets);
      const routes = parseRoutes(request.ipam);
      const dns = readResolvConf(request.ipam);
      const { owner, netnsPath, netnsIdentity, warn = () => undefined } = request;
      const netns = {
        ...(netnsPath !== undefined && { netnsPath }),
        ...(netnsIdentity !== undefined && { netnsIdentity }),
      };
      return {
        async allocate() {
          const addresses = await allocateFromBlocks(pool, { owner, sets: pool.sets, requested, netns, warn });
          return { ips: addresses.map((address) => describeAddress(address, pool.sets)), routes, dns };
        },
      };
    },

    async release(request) {
      await local.release(request);
      await returnEmptyBlocks(request, open, 0);
    },

    async check(request, ips) {
      await local.check(request, ips);
      const { ledger, store, config } = open(request);
      const blocks = store.locked(() => ledger.find());
      for (const ip of ips) {
        const address = parseCidr(typeof ip === 'string' ? ip : ip.address);
        if (blocks === undefined || address === undefined || blocks.some((block) => isInBlock(address, block)))
          continue;
        throw new IpamError(
          'missing',
          `Address ${formatAddress(address)} is in no block of node "${config.node}" in network "${request.owner.network}": its block was released in etcd, and another node can hand it out. Delete the container`,
        );
      }
    },

    async status(request) {
      const pool = openPool(request, openStore, (config) => connect({ ...config, limitMs: STATUS_LIMIT_MS }));
      parseRoutes(request.ipam);
      readResolvConf(request.ipam);
      pool.store.ensureWritable();
      for (const setIndex of pool.sets.keys()) await ensureObtainable(pool, setIndex);
      if (pool.store.exists() && pool.ledger.isContactDue()) await settle(pool, request, 0);
    },

    async collect(request, valid) {
      const collected = await local.collect(request, valid);
      await returnEmptyBlocks(request, open, LOCK_TIMEOUT_MS, true);
      return collected;
    },
  };
}

function openPool(request: IpamNetworkRequest, openStore: OpenStore, connect: ConnectEtcd): Pool {
  const { ipam, owner, lockDirectory, warn = () => undefined } = request;
  const { network } = owner;
  const config = parseEtcdConfig(ipam);
  const sets = parseRangeSets(request);
  const sizes = parseBlockSizes(ipam, sets);
  const directory = directoryOf(request);
  const store = openStore(directory, lockDirectory);
  const claims = new EtcdClaims(new EtcdClient(connect(config)), config.prefix, network);
  const ledger = new BlockLedger({ network, directory, store, lockDirectory, warn }, config, claims);
  return { network, config, sets, sizes, store, ledger };
}

function requireRanges({ sets, network }: Pool): void {
  if (sets.length > 0) return;
  throw new IpamError(
    'config',
    `No IP ranges specified for network "${network}": "ipam" needs "ranges" or "subnet", the pool of the whole cluster`,
  );
}

async function allocateFromBlocks(pool: Pool, plan: AllocationPlan): Promise<string[]> {
  let lacking = 0;
  for (let claims = 0; claims < MAX_CLAIMS; claims++) {
    const outcome = pool.store.locked(() => tryAllocate(pool, plan));
    if ('addresses' in outcome) return outcome.addresses;
    const { setIndex, address } = outcome.lack;
    lacking = setIndex;
    const isSatisfied = () => pool.store.locked(() => !isLacking(pool, { setIndex, address }));
    await askEtcd(pool, setIndex, () => pool.ledger.extend(wantOf(pool, outcome.lack), isSatisfied));
  }
  throw new IpamError(
    'exhausted',
    `${noneAvailable(pool.sets, lacking)} of network "${pool.network}": other containers of this node took those of ${MAX_CLAIMS} blocks first; try again`,
  );
}

/** Allocate from the blocks there are, or say what is lacking. Call with the store locked. */
function tryAllocate(pool: Pool, plan: AllocationPlan): { addresses: string[] } | { lack: Lack } {
  for (const [setIndex, address] of plan.requested) {
    if (isLacking(pool, { setIndex, address })) return { lack: { setIndex, address } };
  }
  const sets = pool.sets.map((_, setIndex) => ownPart(pool, setIndex));
  const empty = sets.findIndex(({ ranges }, i) => ranges.length === 0 && !plan.requested.has(i));
  if (empty >= 0) return { lack: { setIndex: empty } };
  try {
    return { addresses: allocate(pool.store, { ...plan, sets }) };
  } catch (error) {
    if (!(error instanceof IpamError && error.kind === 'exhausted')) throw error;
    const setIndex = sets.findIndex((set) => formatRangeSet(set) === error.range);
    if (setIndex < 0) throw error;
    return { lack: { setIndex } };
  }
}

function isLacking(pool: Pool, { setIndex, address }: Lack): boolean {
  const part = ownPart(pool, setIndex);
  if (part.ranges.length === 0) return true;
  if (address !== undefined) return findRange(part, parseAddressAt('ips', address)) === undefined;
  try {
    ensureFreeAddress(pool.store, pool.network, [part]);
    return false;
  } catch (error) {
    if (error instanceof IpamError && error.kind === 'exhausted') return true;
    throw error;
  }
}

/** What of a range set lies in this node's blocks. */
function ownPart({ sets, ledger }: Pool, setIndex: number): RangeSet {
  return restrictToBlocks(setAt(sets, setIndex), ledger.find() ?? [], sets);
}

function wantOf({ sets, sizes }: Pool, { setIndex, address }: Lack): Want {
  return { set: setAt(sets, setIndex), sets, sizes, address };
}

/** Do what needs etcd in order to get an address, and say so when etcd is what fails. */
async function askEtcd<Result>(pool: Pool, setIndex: number, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const isUnreachable = error instanceof EtcdUnreachableError;
    if (!isUnreachable && !(error instanceof EtcdRefusedError)) throw error;
    const range = formatRangeSet(setAt(pool.sets, setIndex));
    const fault = isUnreachable ? 'cannot be reached' : 'refused';
    throw new IpamError(
      isUnreachable ? 'exhausted' : 'store',
      `${noneAvailable(pool.sets, setIndex)} of network "${pool.network}" in the blocks of node "${pool.config.node}", and another block cannot be claimed: etcd ${fault} (${error.message})`,
      { range, cause: error },
    );
  }
}

/** Throw unless the node has a free address of this set, or could claim a block that has. */
async function ensureObtainable(pool: Pool, setIndex: number): Promise<void> {
  if (!isLacking(pool, { setIndex })) return;
  const want = wantOf(pool, { setIndex });
  if (await askEtcd(pool, setIndex, () => pool.ledger.hasFreeBlock(want))) return;
  const range = formatRangeSet(want.set);
  throw new IpamError(
    'exhausted',
    `${noneAvailable(pool.sets, setIndex)} of network "${pool.network}" for node "${pool.config.node}": its blocks are full, and every block is claimed`,
    { range },
  );
}

/** Return what is empty. What the container held is released by now, and the rest can wait: nothing here fails the call. */
async function returnEmptyBlocks(
  request: IpamNetworkRequest,
  open: (request: IpamNetworkRequest) => Pool,
  waitMs: number,
  always = false,
): Promise<void> {
  try {
    const pool = open(request);
    if (!pool.store.exists()) return;
    const isSurplus = pool.store.locked(() => pool.ledger.setAsideEmpty(pool.sets));
    if (isSurplus || always) await settle(pool, request, waitMs);
  } catch (error) {
    // Also when the configuration can no longer be read.
    if (!(error instanceof FieldError || error instanceof IpamError)) throw error;
    request.warn?.(`Empty blocks of network "${request.owner.network}" are not returned: ${error.message}`);
  }
}

async function settle({ ledger, network }: Pool, request: IpamNetworkRequest, waitMs: number): Promise<void> {
  try {
    await ledger.settle(waitMs);
  } catch (error) {
    const isEtcd = error instanceof EtcdUnreachableError || error instanceof EtcdRefusedError;
    if (!isEtcd && !(error instanceof IpamError)) throw error;
    // Another process that speaks to etcd does the same.
    if (error instanceof IpamError && error.kind === 'locked') return;
    request.warn?.(`Blocks of network "${network}" are not compared with etcd: ${error.message}`);
  }
}

function describeAddress(text: string, sets: readonly RangeSet[]): IpamAddress {
  const address = parseAddress(text);
  const range = address && sets.map((set) => findRange(set, address)).find((found) => found !== undefined);
  if (range === undefined) throw new RangeError(`${text} is in none of the ranges it was allocated from`);
  return { address: `${text}/${range.subnet.prefixLength}`, gateway: range.gateway };
}
