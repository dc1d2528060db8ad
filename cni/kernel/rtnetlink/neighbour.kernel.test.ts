import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type TestNamespace, withNamespace } from '../testing/namespaces.ts';
import { deleteNeighbour, listNeighbours, NUD_PERMANENT, setNeighbour } from './neighbour.ts';

const test = suite('neighbour in the kernel');

interface RefereedNeighbour {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}

/** A veth pair with one end up and nobody at the other. Returns the index of that end. */
function addVeth(ns: TestNamespace): number {
  ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'p0');
  for (const name of ['v0', 'p0']) ns.ip('link', 'set', name, 'addrgenmode', 'none');
  for (const name of ['v0', 'p0']) ns.ip('link', 'set', name, 'up');
  return ns.link('v0').ifindex;
}

/** The entries that stay: the kernel adds multicast ones of its own. */
function permanent(ns: TestNamespace): [string, string | undefined][] {
  return ns
    .ipJson<RefereedNeighbour>('neigh', 'show', 'dev', 'v0')
    .filter(({ state }) => state.includes('PERMANENT'))
    .map(({ dst, lladdr }): [string, string | undefined] => [dst, lladdr])
    .sort();
}

test('setNeighbour() sets and replaces permanent entries of both families', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    for (const mac of ['02:00:00:00:00:09', '02:00:00:00:00:0a']) {
      setNeighbour(ns.route, index, '10.1.2.9', mac);
      setNeighbour(ns.route, index, 'fd00::9', mac);
      assert.equal(permanent(ns), [
        ['10.1.2.9', mac],
        ['fd00::9', mac],
      ]);
    }
  }));

test('setNeighbour() replaces an entry that the kernel looks for', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    ns.ip('neigh', 'add', '10.1.2.9', 'dev', 'v0', 'nud', 'stale', 'lladdr', '02:00:00:00:00:01');
    setNeighbour(ns.route, index, '10.1.2.9', '02:00:00:00:00:09');
    assert.equal(permanent(ns), [['10.1.2.9', '02:00:00:00:00:09']]);
  }));

test('listNeighbours() lists the entries of one link, of both families', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    ns.ip('neigh', 'add', '10.1.2.9', 'dev', 'v0', 'lladdr', '02:00:00:00:00:09');
    ns.ip('neigh', 'add', 'fd00::9', 'dev', 'v0', 'lladdr', '02:00:00:00:00:09');
    ns.ip('neigh', 'add', '10.1.2.8', 'dev', 'p0', 'lladdr', '02:00:00:00:00:08');
    const listed = listNeighbours(ns.route, index).filter(({ state }) => state === NUD_PERMANENT);
    assert.equal(
      listed.sort((a, b) => (a.address < b.address ? -1 : 1)),
      [
        { address: '10.1.2.9', mac: '02:00:00:00:00:09', linkIndex: index, state: NUD_PERMANENT },
        { address: 'fd00::9', mac: '02:00:00:00:00:09', linkIndex: index, state: NUD_PERMANENT },
      ],
    );
  }));

test('listNeighbours() has no MAC address for somebody who does not answer', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    ns.ip('neigh', 'add', '10.1.2.9', 'dev', 'v0', 'nud', 'failed');
    const found = listNeighbours(ns.route, index).find(({ address }) => address === '10.1.2.9');
    assert.is(found?.address, '10.1.2.9');
    assert.is(found?.mac, undefined);
  }));

test('listNeighbours() is empty for a link that is gone', () =>
  withNamespace((ns) => {
    assert.equal(listNeighbours(ns.route, 4711), []);
  }));

test('deleteNeighbour() deletes one entry, once', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    for (const address of ['10.1.2.8', '10.1.2.9', 'fd00::9']) {
      setNeighbour(ns.route, index, address, '02:00:00:00:00:09');
    }
    assert.is(deleteNeighbour(ns.route, index, '10.1.2.9'), true);
    assert.is(deleteNeighbour(ns.route, index, 'fd00::9'), true);
    assert.equal(permanent(ns), [['10.1.2.8', '02:00:00:00:00:09']]);
    assert.is(deleteNeighbour(ns.route, index, '10.1.2.9'), false);
    assert.is(deleteNeighbour(ns.route, index, 'fd00::9'), false);
  }));

test('deleteNeighbour() is false when the link is gone', () =>
  withNamespace((ns) => {
    assert.is(deleteNeighbour(ns.route, 4711, '10.1.2.9'), false);
    assert.is(deleteNeighbour(ns.route, 4711, 'fd00::9'), false);
  }));

test.run();
