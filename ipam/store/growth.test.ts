// What ADD and DEL cost does not depend on how much is reserved: they make the same calls to the file system, to the
// number, whether one address is taken or thousands are.

import fs, { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import type { IpamRequest } from '../driver.ts';
import { hostLocal } from '../local/host-local.ts';

const MANY = 5000;

const test = suite<{ dataDir: string }>('ipam growth');

type Call = (...args: unknown[]) => unknown;
const calls = new Map<string, number>();
const originals = Object.entries(fs).filter(
  (entry): entry is [string, Call] => /Sync$/.test(entry[0]) && typeof entry[1] === 'function',
);

test.before(() => {
  for (const [name, original] of originals) {
    const counting: Call = (...args) => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return Reflect.apply(original, fs, args);
    };
    Object.assign(fs, { [name]: counting });
  }
  syncBuiltinESMExports();
});
test.after(() => {
  Object.assign(fs, Object.fromEntries(originals));
  syncBuiltinESMExports();
});
test.before.each((context) => {
  context.dataDir = mkdtempSync(join(tmpdir(), 'podlink-growth-'));
  mkdirSync(join(context.dataDir, 'pods'));
});
test.after.each(({ dataDir }) => rmSync(dataDir, { recursive: true }));

const request = (dataDir: string, containerId: string, subnet: string): IpamRequest => ({
  owner: { network: 'pods', containerId, ifname: 'eth0' },
  cniVersion: '1.1.0',
  ipam: new Fields({ dataDir, ranges: [[{ subnet }], [{ subnet: 'fd00::/64' }]] }, 'ipam'),
  runtimeConfig: new Fields({}),
  argsCni: new Fields({}),
  cniArgs: new Map(),
  lockDirectory: () => ({ release: () => undefined }),
});

/** Reserve as the reference does it, from 10.1.0.2 and fd00::2 on. */
function reserve(dataDir: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const number = i + 2;
    const names = [`10.1.${number >> 8}.${number & 0xff}`, `fd00::${number.toString(16)}`];
    for (const name of names) writeFileSync(join(dataDir, 'pods', name), `other${i}\r\neth0`);
  }
}

function callsOf(work: () => void): Record<string, number> {
  calls.clear();
  work();
  return Object.fromEntries([...calls].sort());
}

function costIn(dataDir: string, reservations: number) {
  reserve(dataDir, reservations);
  const asked = (containerId: string) => request(dataDir, containerId, '10.1.0.0/16');
  // Makes the index, and leaves the place to go on from beyond what is reserved.
  hostLocal.prepare(asked('first')).allocate();
  const add = callsOf(() => void hostLocal.prepare(asked('x')).allocate());
  const check = callsOf(() => hostLocal.check(asked('x'), []));
  const refuse = callsOf(() => assert.throws(() => hostLocal.prepare(asked('x')).allocate(), /duplicate allocation/));
  const del = callsOf(() => hostLocal.release(asked('x')));
  const again = callsOf(() => hostLocal.release(asked('x')));
  return { add, check, refuse, del, again };
}

test(`ADD, CHECK and DEL make the same calls with 1 and with ${MANY} reservations`, ({ dataDir }) => {
  const few = costIn(dataDir, 1);
  rmSync(join(dataDir, 'pods'), { recursive: true });
  mkdirSync(join(dataDir, 'pods'));
  const many = costIn(dataDir, MANY);
  assert.equal(many, few);
  assert.is(few.add.fsyncSync, 1, 'one fsync for both families');
  assert.is(few.del.fsyncSync, undefined);
  assert.is(few.add.readdirSync, undefined);
  // A page of the map is 4096 addresses: a /16 has 16, each read for the free address, for the count, or for both.
  const ipam = new Fields({ dataDir, ranges: [[{ subnet: '10.1.0.0/16' }]], statusThresholdPercent: 50 }, 'ipam');
  const status = callsOf(() => hostLocal.status({ ...request(dataDir, '', '10.1.0.0/16'), ipam }));
  assert.ok((status.readFileSync ?? 0) <= 2 * 16, `STATUS reads ${status.readFileSync} files`);
  assert.is(status.readdirSync, undefined);
});

test('the last free address of a full range is found without trying those that are taken', ({ dataDir }) => {
  const asked = (containerId: string) => request(dataDir, containerId, '10.1.0.0/20');
  reserve(dataDir, 4092);
  writeFileSync(join(dataDir, 'pods', 'last_reserved_ip.0'), '10.1.7.7');
  hostLocal.prepare(asked('last')).allocate();
  hostLocal.release(asked('last'));
  let address: string | undefined;
  const found = callsOf(() => {
    address = hostLocal.prepare(asked('x')).allocate().ips[0]?.address;
  });
  assert.is(address, '10.1.15.254/20');
  assert.is(found.linkSync, 2);
  const refused = callsOf(() => assert.throws(() => hostLocal.prepare(asked('y')).allocate(), /no IP addresses/));
  assert.is(refused.linkSync, undefined);
  assert.is(refused.readdirSync, undefined);
  assert.throws(() => hostLocal.status(asked('')), /no IP addresses/);
});

test.run();
