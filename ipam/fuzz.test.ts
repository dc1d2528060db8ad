// Broken reservations, indexes and configurations from a fixed seed: IpamError or FieldError comes out or a result, and no
// address that somebody holds is ever given to another.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../cni/protocol/fields.ts';
import { anyJsonValue, mutations, seededRandom } from '../cni/protocol/testing/mutation.ts';
import { parseBlock } from './etcd/block.ts';
import { readBlocks, writeBlocks } from './etcd/block-file.ts';
import type { IpamRequest } from './driver.ts';
import { IpamError } from './errors.ts';
import { hostLocal } from './local/host-local.ts';
import { takeInventory } from './inventory.ts';
import { parseOwner } from './store/reservation.ts';
import { parseAddressName } from './store/reservation-file.ts';
import { staticIpam } from './local/static.ts';

const test = suite<{ dataDir: string }>('ipam fuzz');

test.before.each((context) => {
  context.dataDir = mkdtempSync(join(tmpdir(), 'podlink-ipam-fuzz-'));
});
test.after.each(({ dataDir }) => rmSync(dataDir, { recursive: true, force: true }));

const none = () => new Fields({});

function requestOf(containerId: string, ipam: unknown, more: Partial<IpamRequest> = {}): IpamRequest {
  return {
    owner: { network: 'pods', containerId, ifname: 'eth0' },
    cniVersion: '1.1.0',
    ipam: new Fields(ipam, 'ipam'),
    runtimeConfig: none(),
    argsCni: none(),
    cniArgs: new Map(),
    lockDirectory: () => ({ release: () => undefined }),
    ...more,
  };
}

/** Whether `work` returns; anything it throws but what drivers may goes through. */
function isServed(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    const errors = error instanceof AggregateError ? error.errors : [error];
    for (const one of errors) if (!(one instanceof IpamError || one instanceof FieldError)) throw one;
    return false;
  }
}

/** The addresses whose files name somebody, and who that is. */
function heldIn(directory: string, read: (path: string) => string): Map<string, string> {
  const held = new Map<string, string>();
  for (const name of readdirSync(directory)) {
    if (!parseAddressName(name) || !statSync(join(directory, name), { throwIfNoEntry: false })?.isFile()) continue;
    const { containerId } = parseOwner(read(join(directory, name)));
    if (containerId !== '') held.set(name, containerId);
  }
  return held;
}

const GARBAGE = [
  '',
  '\0',
  '\r\n',
  'a',
  '\0'.repeat(4096),
  'x'.repeat(100_000),
  '[]',
  'null',
  '{',
  '{"addresses":1}',
  '\r\neth0',
];

/** Damage some of the files below a directory: emptied, cut, mutated, replaced, away, a directory or a dangling link. */
function damage(root: string, random: () => number, isMeant: (path: string) => boolean): number {
  const below = (limit: number) => Math.floor(random() * limit);
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(isMeant)
    .sort();
  let damaged = 0;
  for (const path of files) {
    if (below(3) > 0) continue;
    damaged++;
    const { atimeMs, mtimeMs } = statSync(dirname(path));
    const text = read(path);
    rmSync(path);
    switch (below(6)) {
      case 0:
        writeFileSync(path, text.slice(0, below(text.length + 1)));
        break;
      case 1:
        writeFileSync(path, GARBAGE[below(GARBAGE.length)] ?? '');
        break;
      case 2:
        writeFileSync(path, mutations(text, 1, below(1e9)).next().value ?? '');
        break;
      case 3:
        mkdirSync(path);
        break;
      case 4:
        symlinkSync('nowhere', path);
        break;
      default: // away
    }
    // Whoever damages a disk leaves no trace in the directory's time: the worst case for an index that goes by it.
    if (below(2) === 0) utimesSync(dirname(path), atimeMs / 1000, mtimeMs / 1000);
  }
  return damaged;
}

function read(path: string): string {
  return process.getBuiltinModule('node:fs').readFileSync(path, 'utf8');
}

for (const [title, isMeant, seed] of [
  ['the index', (path: string) => path.includes('/.podlink/'), 1],
  ['the reservations', (path: string) => !path.includes('/.podlink/'), 2],
  ['all files', () => true, 3],
] as const) {
  test(`host-local with ${title} damaged gives nobody an address that another holds`, ({ dataDir }) => {
    const random = seededRandom(seed);
    const directory = join(dataDir, 'pods');
    const ipam = { type: 'host-local', dataDir, ranges: [[{ subnet: '10.1.2.0/27' }], [{ subnet: 'fd00::/64' }]] };
    let damaged = 0;
    let allocations = 0;
    for (let round = 0; round < 120; round++) {
      const id = `c${round}`;
      mkdirSync(directory, { recursive: true });
      const before = heldIn(directory, read);
      isServed(() => {
        const { ips } = hostLocal.prepare(requestOf(id, ipam)).allocate();
        allocations++;
        for (const { address } of ips) {
          const [text = ''] = address.split('/');
          assert.not(before.has(text), `${text} of ${before.get(text)} was given to ${id} too`);
          assert.is(heldIn(directory, read).get(text), id, 'what is given out is on disk');
        }
        hostLocal.check(requestOf(id, ipam), ips);
      });
      damaged += damage(dataDir, random, isMeant);
      isServed(() => hostLocal.status(requestOf(id, ipam)));
      isServed(() => takeInventory(requestOf(id, ipam)));
      if (round % 3 === 0) isServed(() => hostLocal.release(requestOf(`c${round - 6}`, ipam)));
      if (round % 10 === 9) {
        const valid = [{ containerId: id, ifname: 'eth0' }];
        isServed(() => hostLocal.collect(requestOf(id, ipam), valid));
        for (const [address, holder] of heldIn(directory, read)) assert.is(holder, id, `${address} is not collected`);
        rmSync(dataDir, { recursive: true });
      }
    }
    assert.ok(damaged > 100 && allocations > 60, `${damaged} files damaged, ${allocations} allocations`);
    console.log(`\ninputs tried: ${damaged} damaged files, ${allocations} allocations`);
  });
}

const SECTION = {
  type: 'host-local',
  ranges: [
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.99', gateway: '10.1.2.1' }],
    [{ subnet: 'fd00::/64' }],
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1', mtu: 1400, table: 5 }],
  exclude: ['10.1.2.10', '10.1.2.64/26', '10.1.2.11-10.1.2.13'],
  statusThresholdPercent: 90,
  addresses: [{ address: '10.1.2.5/24', gateway: '10.1.2.1' }, { address: 'fd00::5/64' }],
};

function withWrongTypes(value: unknown, random: () => number, rate: number): unknown {
  if (random() < rate) return anyJsonValue(random);
  if (Array.isArray(value)) return value.map((item) => withWrongTypes(item, random, rate));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withWrongTypes(item, random, rate)]));
}

test('host-local and static meet broken configurations and arguments with IpamError or FieldError', ({ dataDir }) => {
  const random = seededRandom(4);
  const outcomes = { served: 0, refused: 0 };
  const ips = [...mutations('10.1.2.5,fd00::5/64', 300, 5)];
  for (let i = 0; i < 3000; i++) {
    const ipam = withWrongTypes(SECTION, random, 0.02);
    const asked = withWrongTypes({ ips: ['10.1.2.20'] }, random, i % 3 === 0 ? 0.3 : 0);
    const driver = i % 2 === 0 ? hostLocal : staticIpam;
    const isFine = isServed(() => {
      const request = requestOf(
        `c${i}`,
        { ...(ipam as object), dataDir: join(dataDir, 'none') },
        {
          cniArgs: new Map([['IP', i % 4 === 0 ? (ips[i % ips.length] ?? '') : '']]),
          argsCni: driver === staticIpam ? none() : new Fields(asked),
        },
      );
      driver.status(request);
      driver.prepare(request);
    });
    outcomes[isFine ? 'served' : 'refused']++;
  }
  assert.ok(outcomes.served > 300 && outcomes.refused > 300, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${outcomes.served + outcomes.refused} configurations`);
});

test('readBlocks() meets broken files with IpamError, and keeps to their blocks', ({ dataDir }) => {
  const scope = { node: 'n1', prefix: '/podlink' };
  const block = parseBlock('10.22.0.64/26');
  assert.ok(block);
  writeBlocks(dataDir, scope, { blocks: [block], returning: [] });
  const path = join(dataDir, '.podlink-blocks.json');
  const text = read(path);
  const outcomes = { read: 0, refused: 0 };
  for (const broken of [...GARBAGE, ...mutations(text, 2000, 6)]) {
    writeFileSync(path, broken);
    outcomes[isServed(() => readBlocks(dataDir, scope)) ? 'read' : 'refused']++;
  }
  assert.ok(outcomes.read > 20 && outcomes.refused > 500, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${outcomes.read + outcomes.refused} files of blocks`);
});

test.run();
