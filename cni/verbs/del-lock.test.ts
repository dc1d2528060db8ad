// DEL where there is no lock or no record to be had: a full disk, a run directory that others can write to, a busy attachment.

import fs, { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import { LockTimeoutError } from '../kernel/flock.ts';
import { add } from './add.ts';
import { del, findTrustedRecord } from './del.ts';
import { FakeNode } from './testing/fake-node.ts';
import { failuresOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode }>('DEL without a lock');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };

/** Run work on a disk that makes no lock file. */
async function withoutLocks<Value>(code: string, work: () => Promise<Value>): Promise<Value> {
  const { openSync } = fs;
  fs.openSync = (...args: Parameters<typeof openSync>) => {
    if (!String(args[0]).includes('/attachments/') || !String(args[0]).endsWith('.lock')) return openSync(...args);
    throw Object.assign(new Error(`${code}: no lock today, open`), { code, syscall: 'open', path: args[0] });
  };
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    fs.openSync = openSync;
    syncBuiltinESMExports();
  }
}

for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM']) {
  test(`del() goes on by the record, without a lock, where that cannot be made for ${code}`, async ({ node }) => {
    await add(node.request(), node.context);
    node.forget();
    await withoutLocks(code, () => del(node.request('DEL'), node.context));
    assert.equal(node.steps, ['mode detach', 'feature remove']);
    assert.equal(node.detachments[0]?.objects, { bridge: 'fake0' }, 'the record has told');
    assert.equal([node.record, node.addresses], [undefined, []]);
    assert.is(node.warnings.length, 1);
    assert.match(node.warnings[0] ?? '', /going on without a lock$/);
  });
}

test('del() fails, and touches nothing, when the lock fails for a reason that a second try may not have', async ({
  node,
}) => {
  await add(node.request(), node.context);
  const { record } = node;
  node.forget();
  let failure: unknown;
  await withoutLocks('EMFILE', () => del(node.request('DEL'), node.context)).catch((error: unknown) => {
    failure = error;
  });
  assert.match(String(failure), /EMFILE/);
  assert.equal([node.steps, node.record, node.addresses], [[], record, ['10.1.0.2']]);
});

test('add() does not go on without a lock', async ({ node }) => {
  let failure: unknown;
  await withoutLocks('ENOSPC', () => add(node.request(), node.context)).catch((error: unknown) => {
    failure = error;
  });
  assert.match(String(failure), /ENOSPC/);
  assert.equal([node.steps, node.record, node.addresses], [['mode plan'], undefined, []]);
});

test('del() holds the lock through all steps, and lets go of it whatever fails', async ({ node }) => {
  await add(node.request(), node.context);
  node.forget();
  let busy = 0;
  node.beforeStep = () => {
    try {
      lockAttachment(node.runDir, KEY, 0).release();
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
      busy++;
    }
  };
  node.failures.set('mode detach', new Error('the link is busy'));
  await failuresOf(del(node.request('DEL'), node.context));
  assert.is(busy, 2);
  lockAttachment(node.runDir, KEY, 0).release();
});

test('a run directory that is a symbolic link is not obeyed, and what it holds stays as it is', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  const elsewhere = `${node.runDir}-elsewhere`;
  fs.renameSync(node.runDir, elsewhere);
  symlinkSync(elsewhere, node.runDir);
  assert.is(findTrustedRecord(KEY, node.context), undefined);
  assert.match(node.warnings.at(-1) ?? '', /symbolic link.*going on without the record$/);
  await del(node.request('DEL'), node.context);
  assert.equal(node.detachments[0]?.objects, {}, 'by names alone');
  rmSync(node.runDir);
  fs.renameSync(elsewhere, node.runDir);
  assert.equal(node.record, record);
});

test('del() goes by the record of its own interface, and leaves the others of the container', async ({ node }) => {
  await add(node.request(), node.context);
  await add({ ...node.request(), ifname: 'net1' }, node.context);
  await del({ ...node.request('DEL'), ifname: 'net1' }, node.context);
  assert.is(node.record?.state, 'complete');
  assert.equal(node.addresses, ['10.1.0.2']);
});

test("del() opens the sandbox on record when the runtime names another path, or another container's", async ({
  node,
}) => {
  for (const netns of [join(node.dataDir, 'gone'), '/proc/self/ns/uts', '']) {
    await add(node.request(), node.context);
    node.forget();
    await del({ ...node.request('DEL'), netns }, node.context);
    assert.equal(
      node.detachments.map(({ hadSandbox, netnsPath }) => ({ hadSandbox, netnsPath })),
      [{ hadSandbox: true, netnsPath: '/proc/self/ns/net' }],
      netns,
    );
  }
});

test('del() without a record looks in no namespace that is our own, unless the runtime says that it is meant', async ({
  node,
}) => {
  mkdirSync(node.dataDir, { recursive: true });
  for (const netnsOverride of [false, true]) {
    node.forget();
    await del({ ...node.request('DEL'), netnsOverride }, node.context);
    assert.is(node.detachments[0]?.hadSandbox, netnsOverride);
  }
});

test.run();
