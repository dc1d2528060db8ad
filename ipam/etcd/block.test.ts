import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import {
  blockAt,
  blocksAround,
  blocksOf,
  blocksOverlap,
  formatBlock,
  formatSortable,
  isUsable,
  parseBlock,
  parseSortable,
  restrictToBlocks,
} from './block.ts';
import { formatRange } from '../range/range.ts';
import { parseRangeSets, type RangeSet } from '../range/range-set.ts';

const test = suite('ipam block');
const SIZES = { 4: 26, 6: 122 };

function block(text: string) {
  const parsed = parseBlock(text);
  if (parsed === undefined) throw new Error(`Not a block: ${text}`);
  return parsed;
}

function setOf(range: object): RangeSet {
  const [set] = parseRangeSets({
    ipam: new Fields({ ranges: [[range]] }, 'ipam'),
    runtimeConfig: new Fields({}),
    cniVersion: '1.1.0',
  });
  if (set === undefined) throw new Error('no set');
  return set;
}

test('parseBlock() takes aligned CIDRs of at most 65,536 addresses and nothing else', () => {
  for (const text of ['10.22.0.64/26', '10.22.0.0/16', '10.1.2.3/32', 'fd00::40/122', 'fd00::1:0/112']) {
    assert.is(formatBlock(block(text)), text);
  }
  for (const text of ['10.22.0.65/26', '10.0.0.0/15', 'fd00::/111', 'fd00::1/122', '10.22.0.0', 'x', '']) {
    assert.is(parseBlock(text), undefined, text);
  }
});

test('formatSortable() sorts as the numbers do, and parseSortable() reads it back', () => {
  const texts = ['10.22.0.64/26', '9.255.0.0/16', '10.22.0.128/26', '10.3.0.0/24', 'fd00::40/122', 'fd00::a:0/122'];
  const sortable = texts.map((text) => formatSortable(block(text)));
  assert.is(sortable[0], '010.022.000.064/26');
  assert.is(sortable[4], 'fd00:0000:0000:0000:0000:0000:0000:0040/122');
  assert.equal(
    sortable.toSorted().map((text) => formatBlock(parseSortable(text) ?? block('0.0.0.0/16'))),
    ['9.255.0.0/16', '10.3.0.0/24', '10.22.0.64/26', '10.22.0.128/26', 'fd00::40/122', 'fd00::a:0/122'],
  );
  for (const text of ['10.22.0.64/26', '010.022.000.065/26', 'fd00::40/122', '010.022.000.064', 'junk', '']) {
    assert.is(parseSortable(text), undefined, text);
  }
});

test('blocksAround() names every larger block that begins before', () => {
  const around = blocksAround(block('10.22.0.192/26')).map(formatBlock);
  assert.equal(around, [
    '10.22.0.0/16',
    '10.22.0.0/17',
    '10.22.0.0/18',
    '10.22.0.0/19',
    '10.22.0.0/20',
    '10.22.0.0/21',
    '10.22.0.0/22',
    '10.22.0.0/23',
    '10.22.0.0/24',
    '10.22.0.128/25',
  ]);
  assert.equal(blocksAround(block('10.22.0.0/26')), []);
  for (const outer of around) assert.ok(blocksOverlap(block(outer), block('10.22.0.192/26')));
});

test('blocksOf() gives every block that the range touches once, from any seed', () => {
  const set = setOf({ subnet: '10.1.0.0/16', rangeStart: '10.1.2.60', rangeEnd: '10.1.3.5' });
  const expected = ['10.1.2.0/26', '10.1.2.64/26', '10.1.2.128/26', '10.1.2.192/26', '10.1.3.0/26'];
  for (const seed of [0n, 1n, 3n, 2n ** 64n - 1n]) {
    assert.equal([...blocksOf(set, SIZES, seed)].map(formatBlock).toSorted(), expected.toSorted());
  }
  assert.is(formatBlock([...blocksOf(set, SIZES, 6n)][0] ?? block('0.0.0.0/16')), '10.1.2.64/26');
});

test('blocksOf() begins at once in a pool that nobody could count through', () => {
  const set = setOf({ subnet: 'fd00::/48' });
  const [first] = blocksOf(set, SIZES, 2n ** 63n + 5n);
  // 2^74 blocks of 2^6 addresses: the seed is the block's number.
  assert.is(first?.start, (0xfd00n << 112n) + ((2n ** 63n + 5n) << 6n));
});

test('restrictToBlocks() leaves out gateways, excluded addresses, and what is outside of the range', () => {
  const set = setOf({ subnet: '10.1.0.0/16', rangeEnd: '10.1.0.70', gateway: '10.1.0.5', exclude: ['10.1.0.8/30'] });
  const other = setOf({ subnet: '10.2.0.0/16', gateway: '10.1.0.66' });
  const own = restrictToBlocks(set, [block('10.1.0.0/26'), block('10.1.0.64/26')], [set, other]);
  assert.equal(own.ranges.map(formatRange), [
    '10.1.0.1-10.1.0.4',
    '10.1.0.6-10.1.0.7',
    '10.1.0.12-10.1.0.63',
    '10.1.0.64-10.1.0.65',
    '10.1.0.67-10.1.0.70',
  ]);
  assert.equal(restrictToBlocks(set, [block('10.9.0.0/26')], [set]).ranges, []);
  assert.equal(restrictToBlocks(set, [block('fd00::/122')], [set]).ranges, []);
  assert.is(isUsable(blockAt(4, set.ranges[0]?.start ?? 0n, 32), set, [set]), true);
  assert.is(isUsable(block('10.1.0.5/32'), set, [set]), false, 'the gateway alone');
});

test.run();
