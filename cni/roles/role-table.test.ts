import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from '../protocol/errors.ts';
import { add } from '../verbs/add.ts';
import { FakeNode } from '../verbs/testing/fake-node.ts';
import { chooseRole } from './role-table.ts';

const test = suite<{ node: FakeNode }>('roles');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const never = (): string => {
  throw new Error('the type was asked for');
};

test('chooseRole() goes by the name of a plugin that podlink is run as, and does not look at the type', () => {
  const roles = ['loopback', 'host-local', 'static', 'podlink-etcd'].map((name) => chooseRole(name, never));
  assert.is(new Set(roles).size, 4);
});

test('chooseRole() goes by the type where the name is podlink’s, or a copy’s', () => {
  const podlink = chooseRole('podlink', () => '');
  for (const name of ['podlink', 'podlink-0.1.0', 'podlink.old']) {
    assert.is(
      chooseRole(name, () => 'podlink'),
      podlink,
    );
    assert.is(
      chooseRole(name, () => 'host-local'),
      chooseRole('host-local', never),
    );
  }
});

async function codeOf(work: () => unknown): Promise<number | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof CniError) return error.code;
    throw error;
  }
}

test('an unknown name refuses every verb but DEL, which removes what is podlink’s', async ({ node }) => {
  const role = chooseRole('bridge2', never);
  assert.is(await codeOf(() => role.add(node.request(), node.context)), 7);
  assert.is(await codeOf(() => role.check(node.request('CHECK'), node.context)), 7);
  assert.is(await codeOf(() => role.gc(node.networkRequest('GC'), node.context)), 7);
  assert.is(await codeOf(() => role.status(node.networkRequest('STATUS'), node.context)), 7);
  assert.equal(node.steps, []);

  await add(node.request('ADD', { type: 'bridge2' }), node.context);
  node.forget();
  await role.del(node.request('DEL', { type: 'bridge2' }), node.context);
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.is(node.record, undefined);
  assert.match(node.warnings.join('\n'), /podlink is no "bridge2".*this DEL removes what is podlink's/);
});

test('DEL under the name of an IPAM plugin releases nothing, and waits for nobody', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  node.forget();
  const role = chooseRole('dhcp', never);
  await role.del(node.request('DEL', { ipam: { type: 'dhcp' } }), node.context);
  assert.equal([node.steps, node.record], [[], record]);
  assert.match(node.warnings.join('\n'), /holds no address of this container, and releases none/);
});

test('an IPAM role gives addresses without an interface, and the same again to nobody', async ({ node }) => {
  const role = chooseRole('host-local', never);
  const result = JSON.parse(await role.add(node.request(), node.context));
  assert.equal([result.interfaces, result.ips[0].address], [undefined, '10.1.0.2/24']);
  assert.equal([node.steps, node.record], [[], undefined]);
  await role.del(node.request('DEL'), node.context);
  await role.del(node.request('DEL'), node.context);
  assert.is(await codeOf(() => role.add(node.request('ADD', { ipam: undefined }), node.context)), 7);
});

test.run();
