import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { masqueradeElements } from './masquerade-elements.ts';
import { MASQUERADE_RULESET } from './masquerade-ruleset.ts';
import { recordedElements, recordElement } from './recorded-element.ts';

const test = suite('recorded elements');
const ELEMENTS = masqueradeElements(['10.22.0.5/16', 'fd00::5/64']);
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

test('recordElement() says for people what the element is', () => {
  assert.equal(ELEMENTS.slice(0, 2).map(recordElement), [
    { family: 1, set: 'masquerade_v4', key: '0a160005', text: '10.22.0.5' },
    {
      family: 1,
      set: 'masquerade_except_v4',
      key: '0a1600050a160000',
      keyEnd: '0a1600050a16ffff',
      text: '10.22.0.5 . 10.22.0.0-10.22.255.255',
    },
  ]);
});

test('recordedElements() leaves out what is no element of a set there is', () => {
  const [source, exception] = ELEMENTS.map(recordElement);
  const wrong: unknown[] = [
    null,
    'text',
    {},
    { ...source, set: 'another' },
    { ...source, family: 7 },
    { ...source, key: '0a1600' },
    { ...source, key: '0a16000z' },
    { ...source, keyEnd: '0a160005' },
    { ...exception, keyEnd: undefined },
    { ...exception, keyEnd: '00' },
  ];
  assert.equal(recordedElements(wrong, RULESETS), []);
});

test.run();
