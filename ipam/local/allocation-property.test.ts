// Random small configurations, allocated until they are full, with ip-address itself as the referee; on the store in
// memory and on the one on disk.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Address4, Address6 } from 'ip-address';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import { openDiskStore } from '../store/disk-store.ts';
import { FakeStore } from '../store/fake-store.ts';
import { createHostLocal } from './host-local.ts';
import { IpamError } from '../errors.ts';
import type { Store } from '../store/store.ts';

const test = suite('ipam allocation property');

const SEED = 20_240_611;
const ROUNDS = 300;

/** mulberry32: a small generator whose sequence is the same everywhere. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const read = (text: string) => (text.includes(':') ? new Address6(text) : new Address4(text));

interface RangeText {
  subnet: string;
  rangeStart?: string;
  rangeEnd?: string;
  gateway?: string;
  exclude?: string[];
}

function randomRange(random: (below: number) => number, family: 4 | 6, number: number): RangeText {
  const hostBits = 2 + random(4);
  const size = 2 ** hostBits;
  const prefixes = ['fd00:0:0', '::', '64:ff9b::'];
  const prefix = prefixes[random(3)] ?? '';
  const v6 =
    prefix === 'fd00:0:0'
      ? `fd00::${number.toString(16)}:`
      : prefix === '::'
        ? `::${(number + 1).toString(16)}:`
        : `64:ff9b::${(0xa00 + number).toString(16)}:`;
  const at = (offset: number) => (family === 4 ? `10.${number}.0.${offset}` : `${v6}${offset.toString(16)}`);
  const range: RangeText = { subnet: `${at(0)}/${(family === 4 ? 32 : 128) - hostBits}` };
  const [low = 0, high = 0] = [random(size), random(size)].sort((a, b) => a - b);
  if (random(2)) range.rangeStart = at(low);
  if (random(2)) range.rangeEnd = at(high);
  if (random(3) === 0) range.gateway = at(random(size));
  if (random(3) === 0) {
    const [from = 0, to = 0] = [random(size), random(size)].sort((a, b) => a - b);
    range.exclude = [`${at(from)}-${at(to)}`, at(random(size))];
    if (random(2)) range.exclude.push(`${at(random(size))}/${(family === 4 ? 32 : 128) - random(hostBits)}`);
  }
  return range;
}

function isWithin(address: Address4 | Address6, text: string): boolean {
  const [from = '', to] = text.split('-');
  if (to === undefined) return address.isHostInSubnet(read(from));
  return address.bigInt() >= read(from).bigInt() && address.bigInt() <= read(to).bigInt();
}

/** All addresses from start to end of a range but the excluded, found by asking the library about each of its subnet. */
function spanned(range: RangeText): string[] {
  const subnet = read(range.subnet);
  const isV4 = subnet instanceof Address4;
  const addresses: string[] = [];
  for (let i = 0n; i < 2n ** BigInt((isV4 ? 32 : 128) - subnet.subnetMask); i++) {
    const address = subnet.startAddress().offset(i);
    const isBroadcast = isV4 && address.correctForm() === subnet.endAddress().correctForm();
    // An end that is written counts, whatever address it is.
    if ((i === 0n && range.rangeStart === undefined) || (isBroadcast && range.rangeEnd === undefined)) continue;
    if (range.rangeStart && address.bigInt() < read(range.rangeStart).bigInt()) continue;
    if (range.rangeEnd && address.bigInt() > read(range.rangeEnd).bigInt()) continue;
    if (range.exclude?.some((text) => isWithin(address, text))) continue;
    addresses.push(address.correctForm());
  }
  return addresses;
}

const root = mkdtempSync(join(tmpdir(), 'podlink-property-'));
test.after(() => rmSync(root, { recursive: true }));

const STORES: Record<string, (round: number) => Store> = {
  memory: () => new FakeStore(),
  disk: (round) => openDiskStore(join(root, `round${round}`), () => ({ release: () => undefined })),
};
for (const [kind, openStore] of Object.entries(STORES))
  test(`allocate() gives each allowed address exactly once, none other, then reports exhaustion: ${kind}`, () =>
    allocateAll(openStore));

function allocateAll(openStore: (round: number) => Store): void {
  const random = randomFrom(SEED);
  let allocated = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const family = random(2) ? 4 : 6;
    const ranges = Array.from({ length: 1 + random(3) }, (_, i) => randomRange(random, family, i));
    const gateways = ranges.map((range) =>
      read(range.gateway ?? read(range.subnet).startAddressExclusive().correctForm()).correctForm(),
    );
    const title = `seed ${SEED} round ${round}: ${JSON.stringify(ranges)}`;
    const store = openStore(round);
    const driver = createHostLocal(() => store);
    const request = (containerId: string) => ({
      owner: { network: 'pods', containerId, ifname: 'eth0' },
      cniVersion: '1.1.0',
      ipam: new Fields({ ranges: [ranges] }, 'ipam'),
      runtimeConfig: new Fields({}),
      argsCni: new Fields({}),
      cniArgs: new Map<string, string>(),
      lockDirectory: () => ({ release: () => undefined }),
      warn: assert.unreachable,
    });
    const mayAllocate = new Set(ranges.flatMap(spanned).filter((address) => !gateways.includes(address)));

    if (ranges.map(spanned).some((addresses) => addresses.length === 0)) {
      // The one end that is written is behind the other, or everything between them is excluded.
      assert.throws(() => driver.prepare(request('x')), /leaves no address (of the range )?to allocate/, title);
      refused++;
      continue;
    }
    const given = new Map<string, string>();
    for (let i = 0; i < mayAllocate.size; i++) {
      const [ip] = driver.prepare(request(`c${i}`)).allocate().ips;
      assert.ok(ip, title);
      const [address = '', prefixLength] = ip.address.split('/');
      assert.ok(mayAllocate.has(address), `${title}: ${address} is not to be handed out`);
      assert.not.ok(given.has(address), `${title}: ${address} twice`);
      const range = ranges.find(({ subnet }) => read(address).isHostInSubnet(read(subnet)));
      assert.is(range?.subnet.split('/')[1], prefixLength, title);
      assert.is(ip.gateway, gateways[range ? ranges.indexOf(range) : -1], title);
      given.set(address, `c${i}`);
      // Now and then one goes, so that round robin has holes to come back to.
      if (random(4) === 0) {
        driver.release(request(`c${i}`));
        assert.is(store.find(address), undefined, title);
        driver.prepare({ ...request(`c${i}`), cniArgs: new Map([['IP', address]]) }).allocate();
      }
      allocated++;
    }
    assert.throws(
      () => driver.prepare(request('one-too-many')).allocate(),
      (error: unknown) => error instanceof IpamError && error.kind === 'exhausted',
      title,
    );
  }
  assert.ok(
    allocated > 2000 && refused > 5,
    `the rounds cover both outcomes: ${allocated} allocated, ${refused} refused`,
  );
}

test.run();
