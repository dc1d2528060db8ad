import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from '../errors.ts';
import { MAX_JSON_DEPTH, parseJson } from './json.ts';
import { describeJsonFault } from './json-fault.ts';
import { mutations } from '../testing/mutation.ts';

const test = suite('json');

const FAULTS: readonly (readonly [text: string, description: string])[] = [
  ['', 'unexpected end of JSON input'],
  [' \n', 'unexpected end of JSON input'],
  ['{', 'unexpected end of JSON input'],
  ['{"a": [1, 2', 'unexpected end of JSON input'],
  ['{"a"', 'unexpected end of JSON input'],
  ['{"a":1}x', 'unexpected "x", expected nothing after the end of the JSON value, at line 1, column 8'],
  ['{}\n{}', 'unexpected "{", expected nothing after the end of the JSON value, at line 2, column 1'],
  ['{"a":1,}', 'unexpected "}", expected a key in double quotes, at line 1, column 8'],
  ["{'a':1}", 'unexpected "\'", expected a key in double quotes or "}", at line 1, column 2'],
  ['{"a" 1}', 'unexpected "1", expected ":", at line 1, column 6'],
  ['{\n  "a": 1\n  "b": 2\n}', 'unexpected "\\"", expected "," or "}", at line 3, column 3'],
  ['[1 2]', 'unexpected "2", expected "," or "]", at line 1, column 4'],
  ['[1,]', 'unexpected "]", expected a value, at line 1, column 4'],
  ['{"a":}', 'unexpected "}", expected a value, at line 1, column 6'],
  ['// x\n{}', 'unexpected "/", expected a value, at line 1, column 1'],
  ['[tru]', 'unexpected "t", expected a value, at line 1, column 2'],
  ['[01]', 'unexpected "0", expected a value, at line 1, column 2'],
  ['[NaN]', 'unexpected "N", expected a value, at line 1, column 2'],
  ['[1.]', 'unexpected "1", expected a value, at line 1, column 2'],
  ['["a', 'string without a closing quote at line 1, column 2'],
  ['["a\nb"]', 'unescaped line break or control character in a string at line 1, column 4'],
  ['["\\x"]', 'unknown escape in a string at line 1, column 3'],
  ['["\\u12"]', 'unknown escape in a string at line 1, column 3'],
  ['\uFEFF{}', 'starts with a UTF-8 byte order mark, which JSON does not allow'],
  ['[😀]', 'unexpected "😀", expected a value, at line 1, column 2'],
];
for (const [text, description] of FAULTS) {
  test(`parseJson() says what is wrong with ${JSON.stringify(text)}`, () => {
    assert.is(describeJsonFault(text), description);
    assert.throws(
      () => parseJson(text, 'subject'),
      (error: unknown) => error instanceof CniError && error.code === 6 && error.message === `subject: ${description}`,
    );
  });
}

test('parseJson() takes nesting up to MAX_JSON_DEPTH and refuses more, however deep', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  assert.ok(Array.isArray(parseJson(nested(MAX_JSON_DEPTH), 'subject')));
  for (const depth of [MAX_JSON_DEPTH + 2, 200_000]) {
    assert.throws(() => parseJson(nested(depth), 'subject'), /^subject: nested deeper than 256 levels$/);
  }
  assert.throws(() => parseJson('{"a":'.repeat(200_000), 'subject'), /unexpected end of JSON input/);
});

test('describeJsonFault() finds a fault exactly where JSON.parse() refuses', () => {
  const source = '{"a": [1, -2.5e+7, true, null, "x\\u00e9\\n\\"y"], "b": {"c": {}, "d": []}, "e": false}';
  let refused = 0;
  for (const text of mutations(source, 5000, 7)) {
    if (parses(text)) continue;
    refused++;
    assert.is.not(describeJsonFault(text), 'not valid JSON', text);
  }
  assert.ok(refused > 2000, `${refused} of 5000 are not JSON`);
});

test('describeJsonFault() finds nothing in valid JSON', () => {
  for (const text of ['{}', '[]', ' [1, {"a": "\\\\"}] ', '"x"', '-0', '1E5', 'null', '[[],{},[{}]]'])
    assert.is(describeJsonFault(text), 'not valid JSON', text);
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // which is what is asked
  }
}

test.run();
