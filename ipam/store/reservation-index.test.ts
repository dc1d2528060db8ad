// The index beside the reservations: that it is used, that whatever others do to the files is noticed, and that no state
// of it makes an answer wrong.

import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDiskStore } from './disk-store.ts';
import type { NodeIdentity } from './node-identity.ts';
import { ReservationIndex } from './reservation-index.ts';
import type { Store } from './store.ts';

interface Context {
  directory: string;
  index: string;
  open(node?: NodeIdentity): Store;
}

const test = suite<Context>('ipam reservation index');

const HERE = { boot: 'boot-1', machine: 'machine-1' };
const AFTER_REBOOT = { ...HERE, boot: 'boot-2' };
const ELSEWHERE = { boot: 'boot-3', machine: 'machine-2' };
const owner = (containerId: string, ifname = 'eth0') => ({ containerId, ifname });
const NETNS = { netnsPath: '/run/netns/a', netnsIdentity: '4:4026532281' };
const COUNTED = ['statSync', 'lstatSync', 'openSync', 'readFileSync', 'unlinkSync', 'rmSync'] as const;
const numbers = (from: number, to: number) => [4, 0x0a000000n + BigInt(from), 0x0a000000n + BigInt(to)] as const;

test.before.each((context) => {
  const root = mkdtempSync(join(tmpdir(), 'podlink-index-'));
  context.directory = join(root, 'pods');
  context.index = join(root, '.podlink', 'pods');
  context.open = (node = HERE) =>
    openDiskStore(
      context.directory,
      () => ({ release: () => undefined }),
      () => node,
    );
});
test.after.each(({ directory }) => rmSync(join(directory, '..'), { recursive: true, force: true }));

const owned = (store: Store, containerId: string, ifname = 'eth0') =>
  store
    .locked(() => store.findByOwner(owner(containerId, ifname)))
    .map(({ address }) => address)
    .sort();

/** Change something as nobody does it: so that the directories look as if nothing had happened. */
function unnoticed({ directory, index }: Context, change: () => void): void {
  const directories = [directory, join(index, 'owners')];
  const marks = directories.map((path) => statSync(path).mtimeMs / 1000);
  change();
  for (const [i, path] of directories.entries()) utimesSync(path, 0, marks[i] ?? 0);
}

/** How often an action calls these functions of node:fs. */
function countCalls(action: () => void): Record<(typeof COUNTED)[number], number> {
  const originals = COUNTED.map((name) => [name, fs[name]] as const);
  const counts = { statSync: 0, lstatSync: 0, openSync: 0, readFileSync: 0, unlinkSync: 0, rmSync: 0 };
  for (const [name, original] of originals) {
    const counting = (...args: unknown[]): unknown => {
      counts[name]++;
      return Reflect.apply(original, fs, args);
    };
    Object.assign(fs, { [name]: counting });
  }
  syncBuiltinESMExports();
  try {
    action();
  } finally {
    for (const [name, original] of originals) Object.assign(fs, { [name]: original });
    syncBuiltinESMExports();
  }
  return counts;
}

/** Some owners, with the index made and marked. */
function fill({ open }: Context): Store {
  const store = open();
  store.locked(() => {
    store.findByOwner(owner('a'));
    store.reserveFirst(['10.0.0.2'], owner('a'), NETNS);
    store.reserveFirst(['fd00::2'], owner('a'), NETNS);
    store.reserveFirst(['10.0.0.3'], owner('b'));
  });
  return store;
}

test('an owner is found and a free address is found without reading the other reservations', (context) => {
  const store = fill(context);
  // A change that nobody could see proves it: what is not in the index is not found.
  unnoticed(context, () => writeFileSync(join(context.directory, '10.0.0.4'), 'c\r\neth0'));
  assert.equal(owned(store, 'c'), []);
  assert.is(store.skipTaken?.(...numbers(2, 9)), 0x0a000004n);
  assert.equal(owned(store, 'a'), ['10.0.0.2', 'fd00::2']);
  assert.equal(readdirSync(join(context.index, 'owners')).sort(), ['a:eth0', 'b:eth0']);
  assert.equal(readdirSync(join(context.index, 'taken')).sort(), ['4-a000', `6-fd${'0'.repeat(27)}`]);
  assert.equal(readdirSync(context.directory).sort(), ['10.0.0.2', '10.0.0.3', '10.0.0.4', 'fd00::2']);
});

test('whatever another program does to the files is noticed, also within the tick of our own change', (context) => {
  const path = (name: string) => join(context.directory, name);
  for (let round = 0; round < 50; round++) {
    rmSync(context.directory, { recursive: true, force: true });
    const store = fill(context);
    writeFileSync(path('10.0.0.4'), 'c\r\neth0');
    assert.equal(owned(store, 'c'), ['10.0.0.4']);
    unlinkSync(path('10.0.0.4'));
    assert.equal(owned(store, 'c'), []);
    unlinkSync(path('10.0.0.3'));
    writeFileSync(path('10.0.0.3'), 'd\r\neth0');
    assert.equal([owned(store, 'b'), owned(store, 'd')], [[], ['10.0.0.3']]);
    writeFileSync(path('10.0.0.5'), 'old');
    assert.equal(owned(store, 'old', 'eth7'), ['10.0.0.5']);
    store.locked(() => assert.is(store.skipTaken?.(...numbers(2, 9)), 0x0a000004n));
    store.locked(() => store.release('10.0.0.5'));
    assert.equal(owned(store, 'old', 'eth7'), []);
  }
});

const DAMAGES: Record<string, (context: Context) => void> = {
  'the whole index removed': ({ index }) => rmSync(join(index, '..'), { recursive: true }),
  'all owners removed': ({ index }) => rmSync(join(index, 'owners'), { recursive: true }),
  'one owner removed': ({ index }) => unlinkSync(join(index, 'owners', 'a:eth0')),
  'an owner that is none': ({ index }) =>
    writeFileSync(join(index, 'owners', 'ghost:eth0'), '{"addresses":["10.0.0.9"]}'),
  'an empty entry': (context) => unnoticed(context, () => truncateSync(join(context.index, 'owners', 'a:eth0'))),
  'an entry of null': (context) =>
    unnoticed(context, () => writeFileSync(join(context.index, 'owners', 'a:eth0'), 'null')),
  "an entry with another's address": (context) =>
    unnoticed(context, () => writeFileSync(join(context.index, 'owners', 'a:eth0'), '{"addresses":["10.0.0.3"]}')),
  'an entry that is a directory': ({ index }) => {
    unlinkSync(join(index, 'owners', 'a:eth0'));
    mkdirSync(join(index, 'owners', 'a:eth0', 'deep'), { recursive: true });
  },
  'a page cut off': ({ index }) => truncateSync(join(index, 'taken', '4-a000'), 5),
  'all pages removed': ({ index }) => rmSync(join(index, 'taken'), { recursive: true }),
  'a file in the place of the owners': ({ index }) => {
    rmSync(join(index, 'owners'), { recursive: true });
    writeFileSync(join(index, 'owners'), '');
  },
  'a file in the place of the index': ({ index }) => {
    rmSync(join(index, '..'), { recursive: true });
    writeFileSync(join(index, '..'), '');
  },
  'a symbolic link to nowhere': ({ index }) => {
    rmSync(index, { recursive: true });
    symlinkSync('/nonexistent/podlink', index);
  },
  'pages and owners of another time': (context) => {
    const store = context.open();
    store.locked(() => store.release('10.0.0.3'));
    store.locked(() => store.reserveFirst(['10.0.0.3'], owner('b')));
  },
};
for (const [damage, inflict] of Object.entries(DAMAGES)) {
  test(`no answer is wrong with ${damage}`, (context) => {
    fill(context);
    inflict(context);
    const store = context.open();
    assert.equal(
      [owned(store, 'a'), owned(store, 'b'), owned(store, 'ghost')],
      [['10.0.0.2', 'fd00::2'], ['10.0.0.3'], []],
    );
    store.locked(() => {
      // As the allocator asks: of what the map takes for free, only what is free can be reserved.
      function* free(): Generator<string> {
        for (let n: bigint | undefined = 0x0a000002n; n !== undefined; n += 1n) {
          n = store.skipTaken?.(4, n, 0x0a000006n);
          if (n === undefined) return;
          yield `10.0.0.${n & 0xffn}`;
        }
      }
      assert.is(store.reserveFirst(free(), owner('c')), '10.0.0.4');
      assert.is(store.reserveFirst(free(), owner('d')), '10.0.0.5');
    });
    assert.equal([owned(store, 'c'), owned(store, 'd')], [['10.0.0.4'], ['10.0.0.5']]);
    for (const address of ['10.0.0.2', 'fd00::2'])
      assert.is(
        store.locked(() => store.release(address)),
        true,
      );
    assert.equal(owned(store, 'a'), []);
    assert.equal(readdirSync(context.directory).sort(), ['10.0.0.3', '10.0.0.4', '10.0.0.5']);
  });
}

test('reading without the lock answers the same with and without an index, and writes nothing', (context) => {
  const ask = (store: Store) => [
    store.skipTaken?.(...numbers(2, 9)),
    store.skipTaken?.(...numbers(2, 3)),
    store.countTaken?.(...numbers(0, 255)),
    store.countTaken?.(6, 0n, 2n ** 128n - 1n),
    store.findByOwner(owner('a')).length,
    store.listReclaimable?.().length,
  ];
  const store = fill(context);
  const expected = [0x0a000004n, undefined, 2, 1, 2, 0];
  assert.equal(ask(store), expected);
  rmSync(join(context.index, '..'), { recursive: true });
  assert.equal(ask(store), expected);
  assert.not.ok(existsSync(context.index));
  assert.equal(ask(openDiskStore(join(context.directory, 'none'), () => ({ release: () => undefined }))), [
    0x0a000002n,
    0x0a000002n,
    0,
    0,
    0,
    0,
  ]);
});

test('where the machine has no name, no reservation of another boot is taken for one of its own', (context) => {
  const nameless = (boot: string) => context.open({ boot, machine: '' });
  const store = nameless('boot-1');
  store.locked(() => store.findByOwner(owner('a')));
  store.locked(() => store.reserveFirst(['10.0.0.2'], owner('a')));
  const later = nameless('boot-2');
  const [reservation] = later.list();
  assert.is(reservation && later.isOutlived?.(reservation), false);
  assert.equal(owned(later, 'a'), ['10.0.0.2']);
});

test('an owner is found by what its file is, and not by a name that leads to another file', (context) => {
  const store = fill(context);
  const path = (name: string) => join(context.directory, name);
  // Nobody does it unnoticed; but what an entry says must not be enough to give away another's address.
  unnoticed(context, () => {
    unlinkSync(path('10.0.0.2'));
    writeFileSync(path('10.0.0.2'), 'thief\r\neth0');
  });
  assert.equal(owned(store, 'a'), ['fd00::2']);
  assert.equal(owned(store, 'thief'), ['10.0.0.2']);
});

test('with the index at hand, no file is opened that tells nothing new', (context) => {
  const store = fill(context);
  // As after a DEL of the last container: what follows is an ADD and a DEL on a node in use.
  const calls = countCalls(() => {
    store.locked(() => {
      store.findByOwner(owner('n'));
      const last = store.getLastReserved(0);
      store.skipTaken?.(...numbers(4, 9));
      store.reserveFirst(['10.0.0.4'], owner('n'));
      store.setLastReserved(0, last ?? '10.0.0.4');
    });
  });
  assert.ok(calls.statSync <= 2 && calls.lstatSync === 0 && calls.rmSync === 0, JSON.stringify(calls));
  const released = countCalls(() => {
    store.locked(() => {
      for (const { address } of store.findByOwner(owner('n'))) store.release(address);
    });
  });
  assert.equal(
    [released.statSync, released.lstatSync, released.openSync, released.readFileSync, released.unlinkSync],
    [2, 1, 1, 1, 2],
    JSON.stringify(released),
  );
});

test('without a boot ID there is no index, and everything works', ({ directory, index }) => {
  const store = openDiskStore(
    directory,
    () => ({ release: () => undefined }),
    () => undefined,
  );
  store.locked(() => {
    store.reserveFirst(['10.0.0.2', '10.0.0.3'], owner('a'));
    store.reserveFirst(['10.0.0.2', '10.0.0.3'], owner('b'));
  });
  assert.equal([owned(store, 'a'), owned(store, 'b')], [['10.0.0.2'], ['10.0.0.3']]);
  assert.is(
    store.locked(() => store.release('10.0.0.2')),
    true,
  );
  assert.not.ok(existsSync(index));
});

test('an owner of any name has its entry', (context) => {
  const names = ['A', 'a', 'a.b', 'a%3Ab', 'ä€', '../x', '.', 'x'.repeat(250), 'y'.repeat(600), 'z z'];
  const store = context.open();
  names.forEach((name, i) => {
    store.locked(() => {
      assert.equal(store.findByOwner(owner(name)), []);
      store.reserveFirst([`10.0.0.${i + 2}`], owner(name, 'eth0.5'));
    });
  });
  for (const [i, name] of names.entries()) {
    assert.equal(owned(store, name, 'eth0.5'), [`10.0.0.${i + 2}`], name);
    store.locked(() => store.release(`10.0.0.${i + 2}`));
    assert.equal(owned(store, name, 'eth0.5'), []);
  }
  assert.equal(readdirSync(join(context.index, 'owners')), []);
  assert.equal(readdirSync(join(context.index, 'taken')), []);
});

test('findFacts() tells where the owner lived and when, and keeps it when the index is made anew', (context) => {
  const store = fill(context);
  for (const how of ['as made', 'made anew'])
    for (const address of ['10.0.0.2', 'fd00::2']) {
      const reservation = store.find(address);
      const facts = reservation && store.findFacts?.(reservation);
      assert.match(facts?.reservedAt ?? '', /^\d{4}-\d\d-\d\dT/);
      assert.equal({ ...facts, reservedAt: '' }, { ...HERE, ...NETNS, reservedAt: '' }, how);
      writeFileSync(join(context.directory, '10.0.0.9'), 'foreign\r\neth0');
      owned(store, 'a');
    }
  const foreign = store.find('10.0.0.9');
  assert.is(foreign && store.findFacts?.(foreign), undefined);
});

test('isOutlived() is true of what this machine reserved before its last start, and of nothing else', (context) => {
  fill(context);
  writeFileSync(join(context.directory, '10.0.0.9'), 'foreign\r\neth0');
  const outlived = (node: NodeIdentity) => {
    const store = context.open(node);
    const listed = () => store.list().flatMap((each) => (store.isOutlived?.(each) ? [each.address] : []));
    const before = listed();
    // The same from the index made for this boot as from the reservations one by one.
    store.locked(() => store.findByOwner(owner('a')));
    assert.equal(
      store.locked(() => store.listReclaimable?.().map(({ address }) => address) ?? []).sort(),
      before.sort(),
    );
    return listed().sort();
  };
  assert.equal(outlived(HERE), []);
  assert.equal(outlived(ELSEWHERE), []);
  assert.equal(outlived(AFTER_REBOOT), ['10.0.0.2', '10.0.0.3', 'fd00::2']);
  // The reference gives the same container the same address in the new boot: a new file, of which nothing is known.
  unlinkSync(join(context.directory, '10.0.0.2'));
  writeFileSync(join(context.directory, '10.0.0.2'), 'a\r\neth0');
  assert.equal(outlived(AFTER_REBOOT), ['10.0.0.3', 'fd00::2']);
});

test('a reservation made in this boot is not outlived for what its owner held in another', (context) => {
  fill(context);
  const store = context.open(AFTER_REBOOT);
  store.locked(() => store.reserveFirst(['10.0.0.7'], owner('a')));
  store.locked(() => store.findByOwner(owner('a')));
  const state = (address: string) => {
    const reservation = store.find(address);
    return reservation && store.isOutlived?.(reservation);
  };
  assert.is(state('10.0.0.7'), false);
});

test('rebuild() removes what is of no use, and writes only what has changed', (context) => {
  const store = fill(context);
  const path = (name: string) => join(context.index, 'owners', name);
  const before = [readFileSync(path('a:eth0'), 'utf8'), statSync(path('a:eth0')).ino];
  writeFileSync(path('a:eth0'), before[0] as string);
  utimesSync(path('a:eth0'), 1000, 1000);
  writeFileSync(path('gone:eth0'), '{"addresses":[]}');
  writeFileSync(join(context.directory, '10.0.0.8'), '');
  store.locked(() => store.findByOwner(owner('a')));
  assert.is(statSync(path('a:eth0')).mtimeMs, 1_000_000);
  assert.not.ok(existsSync(path('gone:eth0')));
  assert.is(readFileSync(join(context.index, 'nobody'), 'utf8'), '["10.0.0.8"]');
  const index = new ReservationIndex(context.directory, HERE);
  assert.is(index.isTrusted(false), true);
  assert.is(
    new ReservationIndex(context.directory, AFTER_REBOOT).isTrusted(false),
    false,
    'another boot makes its own',
  );
});

test.run();
