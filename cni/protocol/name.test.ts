import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from './errors.ts';
import { isInterfaceName, isName, validateContainerId, validateInterfaceName, validateNetworkName } from './name.ts';

const test = suite('name');

/** What the call throws as [code, message, details]; undefined when it does not throw. */
function refusal(call: () => void): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error instanceof CniError ? [error.code, error.message, error.details] : error;
  }
}

const GOOD_NAMES = ['a', 'A9', '0', 'a.b', 'a_b', 'a-b', 'a'.repeat(300), 'cni-8f3a1'];
const BAD_NAMES = ['.a', '-a', '_a', 'a b', 'a\n', 'a/b', '../a', 'ä', 'a\u0000', 'a:b', ' a', 'a;b'];

for (const name of GOOD_NAMES) {
  test(`validateContainerId() and validateNetworkName() accept ${JSON.stringify(name.slice(0, 20))}`, () => {
    assert.is(
      refusal(() => validateContainerId(name)),
      undefined,
    );
    assert.is(
      refusal(() => validateNetworkName(name)),
      undefined,
    );
    assert.ok(isName(name));
  });
}

for (const name of BAD_NAMES) {
  test(`validateContainerId() and validateNetworkName() refuse ${JSON.stringify(name)}`, () => {
    assert.equal(
      refusal(() => validateContainerId(name)),
      [4, 'invalid characters in containerID', name],
    );
    assert.equal(
      refusal(() => validateNetworkName(name)),
      [7, 'invalid characters found in network name', name],
    );
    assert.not(isName(name));
  });
}

test('an empty container ID is error 3, an empty network name error 7', () => {
  assert.equal(
    refusal(() => validateContainerId('')),
    [3, 'missing containerID', ''],
  );
  assert.equal(
    refusal(() => validateNetworkName('')),
    [7, 'missing network name', ''],
  );
});

for (const name of ['eth0', 'e', 'a'.repeat(15), '...', 'net-1.100', 'ééééééé', 'a\uFEFFb']) {
  test(`validateInterfaceName() accepts ${JSON.stringify(name)}`, () => {
    assert.is(
      refusal(() => validateInterfaceName(name)),
      undefined,
    );
    assert.ok(isInterfaceName(name));
  });
}

const TOO_LONG = [4, 'interface name is too long', 'interface name should be less than 16 characters'];
const BAD_CHARACTER = [4, 'interface name contains / or : or whitespace characters', ''];
const BAD_INTERFACE_NAMES: readonly (readonly [name: string, expected: readonly unknown[]])[] = [
  ['', [4, 'interface name is empty', '']],
  ['a'.repeat(16), TOO_LONG],
  ['éééééééé', TOO_LONG],
  ['.', [4, 'interface name is . or ..', '']],
  ['..', [4, 'interface name is . or ..', '']],
  ['a/b', BAD_CHARACTER],
  ['eth0:1', BAD_CHARACTER],
  ['a b', BAD_CHARACTER],
  ['a\t', BAD_CHARACTER],
  ['a\n', BAD_CHARACTER],
  ['a\u000b', BAD_CHARACTER],
  ['a\u0085', BAD_CHARACTER],
  ['a\u00a0', BAD_CHARACTER],
  ['a\u2003', BAD_CHARACTER],
  ['a\u3000', BAD_CHARACTER],
];
for (const [name, expected] of BAD_INTERFACE_NAMES) {
  test(`validateInterfaceName() refuses ${JSON.stringify(name)}`, () => {
    assert.equal(
      refusal(() => validateInterfaceName(name)),
      expected,
    );
    assert.not(isInterfaceName(name));
  });
}

test.run();
