// One suite over every store: what the allocator relies on.

import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDiskStore } from './disk-store.ts';
import { FakeStore } from './fake-store.ts';
import type { Store } from './store.ts';

interface Opened {
  store: Store;
  /** Leave a reservation as another program could have. */
  plant(address: string, text: string, isOld?: boolean): void;
  close(): void;
}

function openFake(): Opened {
  const store = new FakeStore();
  return { store, plant: (address, text, isOld) => store.plant(address, text, isOld), close: () => undefined };
}

function openDisk(): Opened {
  const root = mkdtempSync(join(tmpdir(), 'podlink-store-'));
  const directory = join(root, 'networks', 'pods');
  let isLocked = false;
  const store = openDiskStore(directory, () => {
    assert.not.ok(isLocked, 'the lock is taken once at a time');
    isLocked = true;
    return {
      release() {
        isLocked = false;
      },
    };
  });
  return {
    store,
    plant(address, text, isOld = true) {
      mkdirSync(directory, { recursive: true });
      const path = join(directory, address);
      writeFileSync(path, text);
      const seconds = Date.now() / 1000 - (isOld ? 3600 : 0);
      utimesSync(path, seconds, seconds);
    },
    close: () => rmSync(root, { recursive: true, force: true }),
  };
}

const alice = { containerId: 'alice', ifname: 'eth0' };
const bob = { containerId: 'bob', ifname: 'eth0' };

for (const [kind, open] of Object.entries({ fake: openFake, disk: openDisk })) {
  const test = suite<Opened>(`ipam ${kind} store`);

  test.before.each((context) => {
    Object.assign(context, open());
  });
  test.after.each(({ close }) => close());

  const addresses = (store: Store) =>
    store
      .list()
      .map(({ address }) => address)
      .sort();

  test('exists() is false until something is reserved, and reading makes nothing', ({ store }) => {
    assert.is(store.exists(), false);
    assert.equal(store.list(), []);
    assert.is(store.find('10.0.0.2'), undefined);
    assert.equal(store.findByOwner(alice), []);
    assert.is(store.getLastReserved(0), undefined);
    store.ensureWritable();
    assert.is(store.exists(), false);
    store.locked(() => store.reserveFirst(['10.0.0.2'], alice));
    assert.is(store.exists(), true);
  });

  test('reserveFirst() takes the first free candidate and no more', ({ store }) => {
    const first = store.locked(() => store.reserveFirst(['10.0.0.2', '10.0.0.3'], alice));
    const second = store.locked(() => store.reserveFirst(['10.0.0.2', '10.0.0.3', '10.0.0.4'], bob));
    const third = store.locked(() => store.reserveFirst(['10.0.0.2', '10.0.0.3'], bob));
    assert.equal([first, second, third], ['10.0.0.2', '10.0.0.3', undefined]);
    assert.equal(addresses(store), ['10.0.0.2', '10.0.0.3']);
    assert.equal(store.find('10.0.0.3'), { address: '10.0.0.3', ...bob, abandoned: false });
  });

  test('reserveFirst() draws no candidate after the one it takes', ({ store }) => {
    let drawn = 0;
    function* endless(): Generator<string> {
      for (;;) yield `fd00::${(++drawn).toString(16)}`;
    }
    store.locked(() => {
      assert.is(store.reserveFirst(endless(), alice), 'fd00::1');
      assert.is(drawn, 1);
      assert.is(store.reserveFirst([], alice), undefined);
    });
  });

  test('release() removes one reservation and tells whether there was any', ({ store }) => {
    store.locked(() => {
      store.reserveFirst(['10.0.0.2'], alice);
      store.reserveFirst(['fd00::2'], alice);
      assert.is(store.release('10.0.0.2'), true);
      assert.is(store.release('10.0.0.2'), false);
      assert.equal(addresses(store), ['fd00::2']);
      assert.is(store.reserveFirst(['10.0.0.2'], bob), '10.0.0.2');
    });
  });

  test('findByOwner() tells containers and interfaces apart', ({ store, plant }) => {
    store.locked(() => {
      store.reserveFirst(['10.0.0.2'], alice);
      store.reserveFirst(['10.0.0.3'], { containerId: 'alice', ifname: 'eth1' });
      store.reserveFirst(['fd00::2'], alice);
      store.reserveFirst(['10.0.0.4'], bob);
    });
    plant('10.0.0.9', 'old-container');
    const of = (containerId: string, ifname: string) =>
      store
        .findByOwner({ containerId, ifname })
        .map(({ address }) => address)
        .sort();
    assert.equal(of('alice', 'eth0'), ['10.0.0.2', 'fd00::2']);
    assert.equal(of('alice', 'eth1'), ['10.0.0.3']);
    assert.equal(of('old-container', 'eth7'), ['10.0.0.9']);
    assert.equal(of('ali', 'eth0'), []);
  });

  test('find() tells an abandoned reservation from one that may yet be written', ({ store, plant }) => {
    plant('10.0.0.2', '');
    plant('10.0.0.3', '\0\0\0');
    plant('10.0.0.4', '', false);
    plant('10.0.0.5', 'carol\r\neth0');
    const abandoned = store.list().filter((reservation) => reservation.abandoned);
    assert.equal(abandoned.map(({ address, containerId }) => [address, containerId]).sort(), [
      ['10.0.0.2', ''],
      ['10.0.0.3', ''],
    ]);
    // Abandoned or not, the address is taken until somebody decides otherwise.
    assert.is(
      store.locked(() => store.reserveFirst(['10.0.0.2', '10.0.0.4'], alice)),
      undefined,
    );
  });

  test('setLastReserved() is kept per range set', ({ store }) => {
    store.locked(() => {
      store.setLastReserved(0, '10.0.0.2');
      store.setLastReserved(1, 'fd00::2');
      store.setLastReserved(0, '10.0.0.3');
    });
    assert.is(store.getLastReserved(0), '10.0.0.3');
    assert.is(store.getLastReserved(1), 'fd00::2');
    assert.is(store.getLastReserved(2), undefined);
    assert.equal(store.list(), []);
  });

  test('locked() hands the result on and frees the lock when the action throws', ({ store }) => {
    assert.is(
      store.locked(() => 7),
      7,
    );
    assert.throws(() => {
      store.locked(() => {
        throw new Error('on purpose');
      });
    }, 'on purpose');
    assert.is(
      store.locked(() => 8),
      8,
    );
  });

  test.run();
}
