import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CniError, toCniError } from '../../protocol/errors.ts';
import { findPlugin, runPlugin } from './delegate.ts';

const test = suite<{ dir: string }>('delegation');

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'podlink-delegate-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

function plugin(dir: string, script: string): string {
  const path = join(dir, 'plugin');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

function failure(work: () => unknown): CniError {
  try {
    work();
  } catch (error) {
    return toCniError(error);
  }
  throw new Error('did not fail');
}

test('findPlugin() takes the first regular file of CNI_PATH', ({ dir }) => {
  mkdirSync(join(dir, 'a/plugin'), { recursive: true });
  mkdirSync(join(dir, 'b'));
  plugin(join(dir, 'b'), 'exit 0');
  assert.is(findPlugin('plugin', [join(dir, 'missing'), join(dir, 'a'), join(dir, 'b')]), join(dir, 'b/plugin'));
});

test('findPlugin() names what it looked for and where', () => {
  const { code, message } = failure(() => findPlugin('nowhere', ['/a', '/b']));
  assert.is(code, 7);
  assert.match(message, 'Cannot find IPAM plugin "nowhere": it is not built in, and not in CNI_PATH /a:/b');
  assert.match(failure(() => findPlugin('../x', ['/a'])).message, /without "\/"/);
});

test('runPlugin() hands over verb, environment and standard input', ({ dir }) => {
  const path = plugin(dir, 'echo "$CNI_COMMAND $CNI_IFNAME $(cat)"');
  assert.is(runPlugin(path, 'DEL', { CNI_COMMAND: 'ADD', CNI_IFNAME: 'eth0' }, '{"a":1}'), 'DEL eth0 {"a":1}\n');
});

test('runPlugin() gives a plugin that reads no input its way', ({ dir }) => {
  assert.is(runPlugin(plugin(dir, 'exit 0'), 'ADD', {}, 'x'.repeat(1_000_000)), '');
});

const failures: [title: string, script: string, code: number, message: RegExp, details?: RegExp][] = [
  [
    'keeps a code of the specification',
    `echo '{"code":11,"msg":"pool is empty","details":"x"}'; exit 1`,
    11,
    /failed \(ADD\): pool is empty/,
    /^x$/,
  ],
  ['translates a plugin’s own code', `echo '{"code":123,"msg":"odd"}'; exit 1`, 103, /failed \(ADD\): odd/],
  ['translates 999', `echo '{"code":999,"msg":"odd"}'; exit 1`, 103, /odd/],
  ['reports output that is no JSON', 'echo rubbish; exit 3', 103, /exit status 3/, /rubbish/],
  ['reports no output', 'exit 1', 103, /exit status 1/],
  ['reports a signal', 'kill -9 $$', 103, /SIGKILL/],
  ['tells its last words', 'echo "panic: no lease" >&2; exit 2', 103, /exit status 2: panic: no lease$/],
  ['tells them of one that a signal ends', 'echo "out of luck" >&2; kill -9 $$', 103, /SIGKILL: out of luck$/],
  ['tells the end of many', 'seq 9999 >&2; echo end >&2; exit 1', 103, /exit status 1: ….{400,}9999\nend$/s],
  ['leaves them out of an error of its own', `echo '{"code":11,"msg":"full"}'; echo debug >&2; exit 1`, 11, /: full$/],
];

for (const [title, script, code, message, details] of failures) {
  test(`runPlugin() ${title}`, ({ dir }) => {
    const error = failure(() => runPlugin(plugin(dir, script), 'ADD', process.env, ''));
    assert.is(error.code, code);
    assert.match(error.message, message);
    if (details) assert.match(error.details, details);
  });
}

test('runPlugin() reports a file that cannot be executed', ({ dir }) => {
  writeFileSync(join(dir, 'text'), 'no program');
  assert.is(failure(() => runPlugin(join(dir, 'text'), 'ADD', {}, '')).code, 103);
});

test.run();
