import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from './errors.ts';
import { formatVersionReply } from './version-reply.ts';
import { compareVersions, isSupportedVersion, LATEST_VERSION, parseVersion, SUPPORTED_VERSIONS } from './version.ts';

const test = suite('version');

const PARSED: readonly (readonly [text: string, numbers: readonly number[]])[] = [
  ['', [0, 1, 0]],
  ['1', [1, 0, 0]],
  ['1.1', [1, 1, 0]],
  ['0.3.1', [0, 3, 1]],
  ['1.10.0', [1, 10, 0]],
];
for (const [text, numbers] of PARSED) {
  test(`parseVersion() reads "${text}"`, () => assert.equal(parseVersion(text), numbers));
}

const REFUSED: readonly (readonly [text: string, message: RegExp])[] = [
  ['1.0.0.0', /^invalid version "1\.0\.0\.0": too many parts$/],
  ['x', /failed to convert major version part "x"/],
  ['1.', /failed to convert minor version part ""/],
  ['1.0.0-rc1', /failed to convert micro version part "0-rc1"/],
  ['-1.0.0', /major/],
  ['1.1.99999999999999999999', /micro/],
];
for (const [text, message] of REFUSED) {
  test(`parseVersion() refuses "${text}" with error 6`, () => {
    assert.throws(
      () => parseVersion(text),
      (error: unknown) => error instanceof CniError && error.code === 6 && message.test(error.message),
    );
  });
}

test('compareVersions() goes by numbers, not by text', () => {
  assert.ok(compareVersions('0.10.0', '0.9.0') > 0);
  assert.ok(compareVersions('0.4.0', '1.0.0') < 0);
  assert.is(compareVersions('1.1', '1.1.0'), 0);
});

test('SUPPORTED_VERSIONS are in ascending order and end with LATEST_VERSION', () => {
  assert.equal([...SUPPORTED_VERSIONS].sort(compareVersions), [...SUPPORTED_VERSIONS]);
  assert.is(SUPPORTED_VERSIONS.at(-1), LATEST_VERSION);
});

test('isSupportedVersion() asks for the exact text', () => {
  assert.ok(SUPPORTED_VERSIONS.every(isSupportedVersion));
  for (const text of ['', '1.1', '1.1.0 ', '01.1.0', '1.2.0', '0.3']) assert.not(isSupportedVersion(text), text);
});

test('formatVersionReply() is one compact line', () => {
  assert.is(
    formatVersionReply('0.4.0'),
    '{"cniVersion":"0.4.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
  );
});

test.run();
