import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KERNELS } from './kernel.ts';
import { parseOptions, scriptOf } from './options.ts';
import { outcomeOf } from './outcome.ts';

const test = suite('options of the virtual machines');

test('without arguments all kernels run the subjects that are named', () => {
  const { kernels, only, words, command } = parseOptions([]);
  assert.equal(kernels, KERNELS);
  assert.ok(only.includes('cases/043-'));
  assert.equal([words, command], ['', undefined]);
});

test('kernels and files can be chosen, several of each', () => {
  const { kernels, only } = parseOptions(['--kernel', '6.12', '--kernel', '6.1', '--only', 'vlan', '--only', '041']);
  assert.equal(
    kernels.map(({ version }) => version),
    ['6.1', '6.12'],
  );
  assert.equal(only, ['vlan', '041']);
});

test('a kernel that is not in the table is refused with those that are', () => {
  assert.throws(() => parseOptions(['--kernel', '2.6']), /Unknown --kernel "2\.6": must be one of .*6\.1, 6\.12/);
  assert.throws(() => parseOptions(['--kernels', '6.1']), /--kernels/);
});

test('the script hands every text to the test runner as one word', () => {
  const script = scriptOf({ only: ['vlan', "it's; reboot"], command: undefined, without: [] });
  assert.match(script, /run\.ts kernel conformance .*--only 'vlan' --only 'it'\\''s; reboot'\n$/);
  assert.match(scriptOf({ only: [], command: 'uname -r', without: [] }), /\nuname -r\n$/);
});

test('without modules the case about that runs, and their files go first', () => {
  const options = parseOptions(['--without-module', 'nft_masq', '--without-module', 'nft_ct']);
  assert.equal([options.only, options.without], [['cases/149-'], ['nft_masq', 'nft_ct']]);
  const script = scriptOf(options);
  assert.match(script, /^find .* -name 'nft\[-_\]masq\.ko\*' -o -name 'nft\[-_\]ct\.ko\*' .*-delete/m);
  assert.ok(script.indexOf('-delete') < script.indexOf('modprobe'));
  assert.match(script, /^export CONFORMANCE_WITHOUT_MODULES='nft_masq nft_ct'$/m);
  assert.not.match(scriptOf(parseOptions([])), /-delete/);
  assert.throws(() => parseOptions(['--without-module', 'a b']), /Invalid --without-module "a b"/);
});

test('the outcome is the last line of the test runner, and none without one', () => {
  const output = '1 passed, 2 failed, 3 skipped\r\nother\n41 passed, 0 failed, 2 skipped\r\n\npodlink-vm: exit 0\n';
  assert.equal(outcomeOf(output), { passed: 41, failed: 0, skipped: 2 });
  assert.is(outcomeOf('Kernel panic'), undefined);
});

test.run();
