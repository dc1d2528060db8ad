import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeElement } from '../../kernel/nftables/element.ts';
import { Fields } from '../../protocol/fields.ts';
import { readKey } from '../../protocol/schema.ts';
import { masqueradeElements } from './masquerade-elements.ts';
import { MASQUERADE_KEYS } from './masquerade-keys.ts';

const test = suite('masquerade elements');

function elementsOf(cidrs: readonly string[], excluded: readonly string[] = []): string[] {
  return masqueradeElements(cidrs, { excluded }).map((element) => `${element.set.name} ${describeElement(element)}`);
}

test('masqueradeElements() are the address and its network, of both families', () => {
  assert.equal(elementsOf(['10.22.0.5/16', 'fd00::5/64']), [
    'masquerade_v4 10.22.0.5',
    'masquerade_except_v4 10.22.0.5 . 10.22.0.0-10.22.255.255',
    'masquerade_v6 fd00::5',
    'masquerade_except_v6 fd00::5 . fd00::-fd00::ffff:ffff:ffff:ffff',
  ]);
  assert.equal(elementsOf([]), []);
});

test('masqueradeElements() except the networks of the list for each address of their family', () => {
  assert.equal(elementsOf(['10.22.0.5/16', '10.22.0.6/32', 'fd00::5/128'], ['192.0.2.9/24', 'fd01::/16']), [
    'masquerade_v4 10.22.0.5',
    'masquerade_except_v4 10.22.0.5 . 10.22.0.0-10.22.255.255',
    'masquerade_except_v4 10.22.0.5 . 192.0.2.0-192.0.2.255',
    'masquerade_v4 10.22.0.6',
    'masquerade_except_v4 10.22.0.6 . 10.22.0.6',
    'masquerade_except_v4 10.22.0.6 . 192.0.2.0-192.0.2.255',
    'masquerade_v6 fd00::5',
    'masquerade_except_v6 fd00::5 . fd00::5',
    'masquerade_except_v6 fd00::5 . fd01::-fd01:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  ]);
});

test('masqueradeElements() name the addresses once more whose ports are chosen at random', () => {
  const elements = masqueradeElements(['10.22.0.5/16', 'fd00::5/64'], { isRandom: true });
  const ofRandom = elements.filter(({ set }) => set.name.startsWith('masquerade_random_'));
  assert.equal(
    ofRandom.map((element) => `${element.set.name} ${describeElement(element)}`),
    ['masquerade_random_v4 10.22.0.5', 'masquerade_random_v6 fd00::5'],
  );
});

test('masqueradeElements() name a network once that lies within another, in any order', () => {
  const networks = [
    '10.22.7.0/24',
    '10.0.0.0/8',
    '10.22.7.9/32',
    '10.0.0.0/9',
    '10.22.0.0/16',
    '10.0.0.0/8',
    '11.0.0.0/8',
  ];
  for (const excluded of [networks, networks.toReversed()]) {
    assert.equal(elementsOf(['10.22.0.5/16', '10.22.0.5/24'], excluded), [
      'masquerade_v4 10.22.0.5',
      'masquerade_except_v4 10.22.0.5 . 10.0.0.0-10.255.255.255',
      'masquerade_except_v4 10.22.0.5 . 11.0.0.0-11.255.255.255',
    ]);
  }
  assert.equal(elementsOf(['10.22.0.5/16'], ['0.0.0.0/0', '255.255.255.255/32', '::/0']), [
    'masquerade_v4 10.22.0.5',
    'masquerade_except_v4 10.22.0.5 . 0.0.0.0-255.255.255.255',
  ]);
});

test('masqueradeElements() take one address once, however it is written', () => {
  assert.equal(elementsOf(['fd00::5/64', 'FD00:0::5/48']), [
    'masquerade_v6 fd00::5',
    'masquerade_except_v6 fd00::5 . fd00::-fd00::ffff:ffff:ffff:ffff:ffff',
  ]);
});

test('masqueradeElements() refuses what is no CIDR', () => {
  for (const cidr of ['10.22.0.5/33', '10.22.0/16', 'fd00::5/x', '']) {
    assert.throws(() => masqueradeElements(['10.22.0.6/16', cidr]), undefined, cidr);
  }
});

const exclusionsOf = (fields: Fields) => readKey(fields, MASQUERADE_KEYS, 'ipMasqExclude');

test('ipMasqExclude takes networks of both families, none by default', () => {
  assert.equal(exclusionsOf(new Fields({})), []);
  const list = ['10.0.0.0/8', 'fd00::/8'];
  assert.equal(exclusionsOf(new Fields({ ipMasqExclude: list })), list);
});

test('ipMasqExclude names an entry that is no network', () => {
  for (const entry of ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', 'all', '', '10.0.0.0/08', '10.0.0.0/8,11.0.0.0/8']) {
    assert.throws(
      () => exclusionsOf(new Fields({ ipMasqExclude: ['10.0.0.0/8', entry] })),
      /Invalid "ipMasqExclude\[1\]": must be a network such as 10.0.0.0\/8 or fd00::\/8, is "/,
      entry,
    );
  }
  assert.throws(() => exclusionsOf(new Fields({ ipMasqExclude: '10.0.0.0/8' })), /must be a list/);
  assert.throws(() => exclusionsOf(new Fields({ ipMasqExclude: [7] })), /ipMasqExclude\[0\]": must be a string/);
});

test.run();
