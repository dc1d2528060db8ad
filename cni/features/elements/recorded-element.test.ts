import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeElement, type Element, isSameElement } from '../../kernel/nftables/element.ts';
import { masqueradeElements } from '../masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../masquerade/masquerade-ruleset.ts';
import { PORTMAP_RULESET, PORTMAP_V4 } from '../portmap/portmap-ruleset.ts';
import { recordedElements, recordedWaitingElements, recordElement } from './recorded-element.ts';

const test = suite('recorded elements');
const ELEMENTS = masqueradeElements(['10.22.0.5/16', 'fd00::5/64']);
const PORT: Element = {
  set: PORTMAP_V4.any,
  key: Uint8Array.of(6, 0, 0, 0, 0x1f, 0x90, 0, 0),
  data: Uint8Array.of(10, 22, 0, 5, 0, 80, 0, 0),
};
const RULESETS = [MASQUERADE_RULESET];

test('recordedElements() gives back what recordElement() has written as JSON', () => {
  const text = JSON.stringify(ELEMENTS.map(recordElement));
  assert.equal(
    recordedElements(JSON.parse(text), RULESETS),
    ELEMENTS.map((element) => clean(element)),
  );
});

/** The same with plain buffers, as they are read. */
function clean({ set, key, keyEnd }: (typeof ELEMENTS)[number]): object {
  return { set, key: Buffer.from(key), ...(keyEnd && { keyEnd: Buffer.from(keyEnd) }) };
}

test('recordElement() names the set, and has keys and values in hexadecimal', () => {
  assert.equal([...ELEMENTS.slice(0, 2), PORT].map(recordElement), [
    { family: 1, set: 'masquerade_v4', key: '0a160005' },
    { family: 1, set: 'masquerade_except_v4', key: '0a1600050a160000', keyEnd: '0a1600050a16ffff' },
    { family: 1, set: 'portmap_any_v4', key: '060000001f900000', data: '0a16000500500000' },
  ]);
});

test('recordedWaitingElements() gives only what can be added', () => {
  const { data: _, ...withoutValue } = recordElement(PORT);
  const recorded = [recordElement(PORT), withoutValue, { ...withoutValue, data: '0a1600' }];
  assert.equal(recordedElements(recorded, [PORTMAP_RULESET]).length, 3);
  const [element, ...others] = recordedWaitingElements(recorded, [PORTMAP_RULESET]);
  assert.is(others.length, 0);
  assert.ok(element && isSameElement(element, PORT));
});

test('recordedElements() leaves out what is no element of a set there is', () => {
  const [source, exception] = ELEMENTS.map(recordElement);
  const wrong: unknown[] = [
    null,
    'text',
    {},
    { ...source, set: 'an other' },
    { ...source, set: '' },
    { ...source, set: 'x'.repeat(256) },
    { ...source, set: 7 },
    { ...source, set: 'another', key: '0a1600' },
    { ...source, set: 'another', key: '' },
    { ...source, set: 'another', key: '00'.repeat(68) },
    { ...source, set: 'another', keyEnd: '0a16000500000000' },
    { ...source, family: 2 },
    { ...source, family: '1' },
    { ...source, key: '0a1600' },
    { ...source, key: '0a16000z' },
    { ...source, keyEnd: '0a160005' },
    { ...exception, keyEnd: undefined },
    { ...exception, keyEnd: '00' },
  ];
  assert.equal(recordedElements(wrong, RULESETS), []);
});

test('recordedElements() knows an element in a set of another version, with its key and family', () => {
  const [source, exception] = ELEMENTS.map(recordElement);
  const old = [
    { ...source, set: 'masquerade_v4_old' },
    { ...exception, set: 'exception_v4_old', family: 7 },
  ];
  const elements = recordedElements(old, RULESETS);
  assert.equal(
    elements.map(({ set, key, keyEnd }) => [
      set.table,
      set.name,
      set.interval,
      Buffer.from(key).toString('hex'),
      keyEnd && Buffer.from(keyEnd).toString('hex'),
    ]),
    [
      [{ family: 1, name: 'podlink' }, 'masquerade_v4_old', false, source?.key, undefined],
      [{ family: 7, name: 'podlink' }, 'exception_v4_old', true, exception?.key, exception?.keyEnd],
    ],
  );
  assert.equal(elements.map(describeElement), [source?.key, `${exception?.key}-${exception?.keyEnd}`]);
});

test.run();
