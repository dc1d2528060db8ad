import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attachmentCodes, diagnose, sentenceOf, sentencesOf, withoutConsequences } from './attachment-diagnosis.ts';

const test = suite('attachment diagnosis');

const TABLE = 'inet podlink';
const SET = 'masquerade_v4';

test('diagnose() states a code and its parts, sentenceOf() says them', () => {
  const diagnosis = diagnose('address-gone', { subject: 'eth0', object: '10.1.0.2/24' });
  assert.equal(diagnosis, { code: 'address-gone', subject: 'eth0', object: '10.1.0.2/24' });
  assert.is(sentenceOf(diagnosis), 'address 10.1.0.2/24 is gone from interface "eth0"');
  assert.equal(diagnose('add-unfinished'), { code: 'add-unfinished' });
});

test('sentenceOf() prints a value as the configuration would have it, cut to 60 characters', () => {
  const parts = { subject: 'net.core.somaxconn', expected: '1024', found: 'x'.repeat(100) };
  const sentence = sentenceOf(diagnose('sysctl-differs', parts));
  assert.is(sentence, `sysctl "net.core.somaxconn" is "${'x'.repeat(56)}..., the configuration says "1024"`);
});

test('withoutConsequences() says of a table that is gone only that, once', () => {
  const found = [
    diagnose('interface-down', { subject: 'eth0' }),
    diagnose('table-gone', { subject: TABLE }),
    diagnose('table-gone', { subject: TABLE }),
    diagnose('element-gone', { subject: '10.0.0.1', object: SET, of: TABLE }),
    diagnose('element-gone', { subject: '10.0.0.1', object: SET, of: 'inet other' }),
    diagnose('chain-gone', { subject: 'out', of: TABLE }),
    diagnose('chain-gone', { subject: 'out', of: 'inet podlink2' }),
  ];
  assert.equal(sentencesOf(withoutConsequences(found)), [
    'interface "eth0" is down',
    'table inet podlink is missing',
    'element 10.0.0.1 of set masquerade_v4 is missing',
    'chain out of table inet podlink2 is missing',
  ]);
});

test('withoutConsequences() keeps every part of a table that is there', () => {
  const found = [
    diagnose('element-gone', { subject: '10.0.0.1', object: SET, of: TABLE }),
    diagnose('chain-gone', { subject: 'out', of: TABLE }),
    diagnose('table-differs', { subject: TABLE }),
  ];
  assert.equal(withoutConsequences([...found, ...found]), found);
});

test('codes are words in lower case', () => {
  assert.equal(
    attachmentCodes().filter((code) => !/^[a-z]+(-[a-z]+)*$/.test(code)),
    [],
  );
});

test.run();
