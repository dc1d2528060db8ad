// ADD and DEL are stopped before each single change to the file system that they make: once for good, so that nothing
// after it happens, as by SIGKILL; once by an error of that change alone. Whatever is left then, every reservation is whole, every owner is found, no address is lost, and DEL cleans up.

import fs, { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import { openDiskStore } from './disk-store.ts';
import type { IpamRequest } from '../driver.ts';
import { IpamError } from '../errors.ts';
import { hostLocal } from '../local/host-local.ts';

const test = suite('ipam crash at every step');

const IPAM = { ranges: [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/125' }]] };
/** Addresses of each range without its gateway. */
const CAPACITY = [5, 6];

/** What changes a file or directory; openSync only where it makes one. */
const CHANGES = [
  'openSync',
  'writeFileSync',
  'writeSync',
  'fsyncSync',
  'ftruncateSync',
  'linkSync',
  'unlinkSync',
  'rmSync',
  'renameSync',
  'mkdirSync',
  'utimesSync',
] as const;

/** Changes yet to be made before the one that fails; a dead process makes none after it either. */
const fault = { isArmed: false, count: 0, step: 0, isDeath: false };
const originals = CHANGES.map((name) => [name, fs[name]] as const);

test.before(() => {
  for (const [name, original] of originals) {
    const replacement = (...args: unknown[]): unknown => {
      const isChange = name !== 'openSync' || (Number(args[1]) & fs.constants.O_CREAT) !== 0;
      if (fault.isArmed && isChange) {
        fault.count++;
        if (fault.count === fault.step || (fault.isDeath && fault.count > fault.step))
          throw Object.assign(new Error(`EIO: i/o error, ${name}`), { code: 'EIO' });
      }
      return Reflect.apply(original, fs, args);
    };
    Object.assign(fs, { [name]: replacement });
  }
  syncBuiltinESMExports();
});
test.after(() => {
  for (const [name, original] of originals) Object.assign(fs, { [name]: original });
  syncBuiltinESMExports();
});

/** Make one call of the driver that is stopped before its Nth change. */
function stop(step: number, isDeath: boolean, call: () => void): { outcome: string; isStopped: boolean } {
  Object.assign(fault, { isArmed: true, count: 0, step, isDeath });
  let outcome = 'ok';
  try {
    call();
  } catch (error) {
    if (!(error instanceof IpamError || error instanceof AggregateError)) throw error;
    outcome = error.message;
  } finally {
    fault.isArmed = false;
  }
  return { outcome, isStopped: fault.count >= step };
}

const request = (dataDir: string, containerId: string): IpamRequest => ({
  owner: { network: 'pods', containerId, ifname: 'eth0' },
  cniVersion: '1.1.0',
  ipam: new Fields({ dataDir, ...IPAM }),
  runtimeConfig: new Fields({}),
  argsCni: new Fields({}),
  cniArgs: new Map(),
  lockDirectory: () => ({ release: () => undefined }),
  warn: (message) => assert.unreachable(message),
});

const held = (dataDir: string) =>
  Object.fromEntries(
    (existsSync(join(dataDir, 'pods')) ? readdirSync(join(dataDir, 'pods')) : [])
      .filter((name) => /^[\da-f]+[.:]/.test(name))
      .map((name) => [name, readFileSync(join(dataDir, 'pods', name), 'utf8')]),
  );

/** Compare what the store answers, by whatever index it has, with what the files say; then fill the pool. */
function mustBeConsistent(dataDir: string, title: string): void {
  const store = openDiskStore(join(dataDir, 'pods'), () => ({ release: () => undefined }));
  const files = held(dataDir);
  for (const [name, text] of Object.entries(files)) assert.match(text, /^(stays|victim)\r\neth0$/, `${title}: ${name}`);
  for (const containerId of ['stays', 'victim', 'nobody']) {
    const found = store.locked(() => store.findByOwner({ containerId, ifname: 'eth0' }));
    const expected = Object.keys(files).filter((name) => files[name] === `${containerId}\r\neth0`);
    assert.equal(found.map(({ address }) => address).sort(), expected.sort(), `${title}: what ${containerId} holds`);
  }
  hostLocal.release(request(dataDir, 'victim'));
  assert.equal(Object.values(held(dataDir)), ['stays\r\neth0', 'stays\r\neth0'], title);
  for (let i = 1; i < Math.min(...CAPACITY); i++) hostLocal.prepare(request(dataDir, `filler${i}`)).allocate();
  assert.throws(() => hostLocal.prepare(request(dataDir, 'late')).allocate(), /no IP addresses available/);
  for (let i = 1; i < Math.min(...CAPACITY); i++) hostLocal.release(request(dataDir, `filler${i}`));
}

for (const how of ['death', 'an I/O error'] as const) {
  for (const [verb, isFirst] of [
    ['ADD', true],
    ['ADD', false],
    ['DEL', false],
  ] as const) {
    const title = `${isFirst ? 'the first ' : ''}${verb} stopped by ${how}`;
    test(`${title} before each of its changes loses and leaves nothing`, () => {
      let step = 0;
      for (let isStopped = true; isStopped; ) {
        step++;
        const dataDir = mkdtempSync(join(tmpdir(), 'podlink-step-'));
        const where = `${title} before change ${step}`;
        const victim = { ...request(dataDir, 'victim'), warn: () => undefined };
        try {
          if (!isFirst) hostLocal.prepare(request(dataDir, 'stays')).allocate();
          if (verb === 'DEL') hostLocal.prepare(victim).allocate();
          const stopped = stop(step, how === 'death', () => {
            if (verb === 'ADD') hostLocal.prepare(victim).allocate();
            else hostLocal.release(victim);
          });
          isStopped = stopped.isStopped;
          const count = Object.values(held(dataDir)).filter((text) => text === 'victim\r\neth0').length;
          if (verb === 'ADD' && how !== 'death')
            assert.is(count, stopped.outcome === 'ok' ? 2 : 0, `${where}: ${stopped.outcome}, ${count} addresses`);
          if (verb === 'DEL' && stopped.outcome === 'ok') assert.is(count, 0, where);
          if (isFirst) hostLocal.prepare(request(dataDir, 'stays')).allocate();
          mustBeConsistent(dataDir, where);
        } finally {
          rmSync(dataDir, { recursive: true });
        }
      }
      // Fewer would mean that the changes are made by calls this test does not know.
      assert.ok(step > 8, `${title}: ${step} steps`);
    });
  }
}

test.run();
