import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBlock, parseBlock } from './block.ts';
import { readBlocks, writeBlocks } from './block-file.ts';
import { IpamError, type IpamErrorKind } from '../errors.ts';

const test = suite('ipam block-file');
const SCOPE = { node: 'n1', prefix: '/podlink' };
const FILE = '.podlink-blocks.json';

const blocks = (...texts: string[]) => texts.flatMap((text) => parseBlock(text) ?? []);
const isIpamError = (kind: IpamErrorKind, pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === kind && pattern.test(error.message);

function withDirectory(work: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-blocks-'));
  try {
    work(directory);
  } finally {
    chmodSync(directory, 0o700);
    rmSync(directory, { recursive: true });
  }
}

test('readBlocks() gives what writeBlocks() wrote, and undefined before', () => {
  withDirectory((directory) => {
    assert.is(readBlocks(directory, SCOPE), undefined);
    writeBlocks(directory, SCOPE, { blocks: blocks('10.1.0.64/26', 'fd00::40/122'), returning: blocks('10.1.0.0/26') });
    assert.is(
      readFileSync(join(directory, FILE), 'utf8'),
      '{"node":"n1","prefix":"/podlink","blocks":["10.1.0.64/26","fd00::40/122"],"returning":["10.1.0.0/26"]}\n',
    );
    const read = readBlocks(directory, SCOPE);
    assert.equal(read?.blocks.map(formatBlock), ['10.1.0.64/26', 'fd00::40/122']);
    assert.equal(read?.returning.map(formatBlock), ['10.1.0.0/26']);
    assert.equal(readdirSync(directory), [FILE]);
  });
});

test('readBlocks() refuses blocks that were claimed under another name', () => {
  withDirectory((directory) => {
    writeBlocks(directory, SCOPE, { blocks: blocks('10.1.0.64/26'), returning: [] });
    assert.throws(() => readBlocks(directory, { ...SCOPE, node: 'n2' }), isIpamError('config', /as node "n1".*"n2"/));
    assert.throws(() => readBlocks(directory, { ...SCOPE, prefix: '/x' }), isIpamError('config', /below "\/podlink"/));
  });
});

test('readBlocks() refuses a file that is not whole, and says that it can go', () => {
  const head = '{"node":"n1","prefix":"/podlink"';
  for (const text of [
    '',
    '{',
    '[]',
    '{}',
    `${head}}`,
    `${head},"blocks":["10.1.0.1/26"],"returning":[]}`,
    `${head},"blocks":[7],"returning":[]}`,
    `${head},"blocks":[]}`,
  ]) {
    withDirectory((directory) => {
      writeFileSync(join(directory, FILE), text);
      assert.throws(() => readBlocks(directory, SCOPE), isIpamError('store', /Cannot read.*remove it/), text);
    });
  }
});

test('writeBlocks() that fails leaves what was noted before', () => {
  withDirectory((directory) => {
    assert.throws(
      () => writeBlocks(join(directory, 'absent'), SCOPE, { blocks: [], returning: [] }),
      isIpamError('store', /Cannot write.*ENOENT/),
    );
    assert.equal(readdirSync(directory), []);
  });
});

test.run();
