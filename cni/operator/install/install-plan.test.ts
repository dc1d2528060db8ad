import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError } from '../cli/command.ts';
import { EXECUTABLE_MARK, isPodlinkExecutable, openRunningExecutable } from './install-executable.ts';
import { fingerprintAt } from './install-fingerprint.ts';
import { MANIFEST_NAME, readManifest } from './install-manifest.ts';
import { carryOut, type InstallPlan, planInstall } from './install-plan.ts';
import { carryOutRemoval, planRemoval } from './install-removal.ts';

interface Node {
  readonly root: string;
  readonly dir: string;
  readonly conflist: string;
}

interface Wish {
  readonly version?: string;
  readonly text?: string;
  readonly force?: boolean;
}

const test = suite<{ node: Node }>('install-plan');

test.before.each((context) => {
  const root = mkdtempSync(join(tmpdir(), 'podlink-install-'));
  const dir = join(root, 'bin');
  mkdirSync(dir);
  mkdirSync(join(root, 'net.d'));
  context.node = { root, dir, conflist: join(root, 'net.d/10-podlink.conflist') };
});

test.after.each(({ node }) => rmSync(node.root, { recursive: true }));

/** As small an executable as is taken for one of podlink. */
function executableText(version: string): string {
  return `\x7fELF${'.'.repeat(5000)}${EXECUTABLE_MARK} ${version}`;
}

function plan(node: Node, { version = '1', text, force = false }: Wish = {}): InstallPlan {
  const source = join(node.root, `podlink-${version}`);
  writeFileSync(source, executableText(version));
  const executable = openRunningExecutable(source);
  const conflist = text === undefined ? {} : { conflist: { path: node.conflist, text } };
  return planInstall({ dir: node.dir, executable, version, force, ...conflist }, readManifest(node.dir));
}

function install(node: Node, wish: Wish = {}): string[] {
  const made = plan(node, wish);
  carryOut(made);
  return made.places.map(({ outcome }) => outcome);
}

function uninstall(node: Node): Record<string, string> {
  const manifest = readManifest(node.dir);
  assert.ok(manifest);
  const removals = planRemoval(node.dir, manifest, undefined);
  carryOutRemoval(node.dir, removals);
  return Object.fromEntries(removals.map(({ path, outcome }) => [path.slice(node.root.length + 1), outcome]));
}

function mustRefuse(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error: unknown) => error instanceof CommandError && message.test(error.message));
}

/** What is in the directory of plugins: names, and what they are. */
function filesOf({ dir }: Node): Record<string, string | undefined> {
  return Object.fromEntries(readdirSync(dir).map((name) => [name, fingerprintAt(join(dir, name))]));
}

test('carryOut() makes the executable, links to it and a manifest', ({ node }) => {
  assert.equal(install(node, { text: '{}' }), ['installed', 'installed', 'installed', 'installed', 'installed']);
  assert.equal(readdirSync(node.dir).sort(), [MANIFEST_NAME, 'host-local', 'loopback', 'podlink', 'static']);
  assert.is(readFileSync(join(node.dir, 'podlink'), 'latin1'), executableText('1'));
  assert.is(lstatSync(join(node.dir, 'podlink')).mode & 0o7777, 0o755);
  assert.is(readlinkSync(join(node.dir, 'loopback')), 'podlink');
  assert.is(readFileSync(node.conflist, 'utf8'), '{}');
});

test('planInstall() finds nothing to do the second time', ({ node }) => {
  install(node, { text: '{}' });
  assert.ok(plan(node, { text: '{}' }).isDone);
  assert.ok(plan(node).isDone, 'a configuration that is not asked for stays on record');
  assert.not(plan(node, { version: '2' }).isDone);
  assert.not(plan(node, { text: '{ }' }).isDone);
});

test('planInstall() replaces an executable that nobody may run', ({ node }) => {
  install(node);
  chmodSync(join(node.dir, 'podlink'), 0o644);
  assert.is(plan(node).places[0]?.outcome, 'replaced');
});

test('planInstall() refuses other plugins, names all of them and changes nothing', ({ node }) => {
  writeFileSync(join(node.dir, 'loopback'), 'stock');
  writeFileSync(join(node.dir, 'static'), 'stock');
  const before = filesOf(node);
  mustRefuse(() => install(node), /"\/.*\/loopback" is another plugin .*; "\/.*\/static" is another plugin/);
  assert.equal(filesOf(node), before);
});

test('planInstall() refuses a link in the place of the executable, even to podlink', ({ node }) => {
  const elsewhere = join(node.root, 'elsewhere');
  writeFileSync(elsewhere, executableText('0'));
  symlinkSync(elsewhere, join(node.dir, 'podlink'));
  mustRefuse(() => install(node), /podlink" is another plugin/);
});

test('planInstall() refuses a directory of such a name, also by force', ({ node }) => {
  mkdirSync(join(node.dir, 'static'));
  mustRefuse(() => install(node, { force: true }), /static" is neither a file nor a link/);
});

test('carryOut() takes over what is podlink without being on record: copies and links of any kind', ({ node }) => {
  writeFileSync(join(node.dir, 'podlink'), executableText('0'));
  writeFileSync(join(node.dir, 'loopback'), executableText('0'));
  symlinkSync(join(node.dir, 'podlink'), join(node.dir, 'host-local'));
  assert.equal(install(node), ['replaced', 'replaced', 'replaced', 'installed']);
  assert.not(readdirSync(node.dir).some((name) => name.endsWith('.before-podlink')));
});

test('by force stock plugins are kept, and put back by uninstall', ({ node }) => {
  writeFileSync(join(node.dir, 'loopback'), 'stock', { mode: 0o755 });
  symlinkSync('/nowhere/host-local', join(node.dir, 'host-local'));
  writeFileSync(join(node.dir, 'bridge'), 'not ours');
  const before = filesOf(node);
  install(node, { force: true });
  assert.is(readFileSync(join(node.dir, 'loopback.before-podlink'), 'utf8'), 'stock');
  assert.is(readlinkSync(join(node.dir, 'host-local.before-podlink')), '/nowhere/host-local');
  assert.equal(uninstall(node), {
    'bin/loopback': 'restored',
    'bin/host-local': 'restored',
    'bin/static': 'removed',
    'bin/podlink': 'removed',
  });
  assert.equal(filesOf(node), before);
  assert.is(lstatSync(join(node.dir, 'loopback')).mode & 0o777, 0o755);
});

test('an upgrade replaces, and uninstall still puts back what was there before the first', ({ node }) => {
  writeFileSync(join(node.dir, 'loopback'), 'stock');
  install(node, { force: true });
  assert.equal(install(node, { version: '2' }), ['replaced', 'unchanged', 'unchanged', 'unchanged']);
  assert.is(readManifest(node.dir)?.podlink, '2');
  uninstall(node);
  assert.equal(readdirSync(node.dir), ['loopback']);
  assert.is(readFileSync(join(node.dir, 'loopback'), 'utf8'), 'stock');
});

test('a newer stock plugin in the place of our link is refused, kept by force and put back', ({ node }) => {
  writeFileSync(join(node.dir, 'loopback'), 'stock 1');
  install(node, { force: true });
  rmSync(join(node.dir, 'loopback'));
  writeFileSync(join(node.dir, 'loopback'), 'stock 2');
  mustRefuse(() => install(node), /loopback" is another plugin/);
  install(node, { force: true });
  uninstall(node);
  assert.is(readFileSync(join(node.dir, 'loopback'), 'utf8'), 'stock 2');
  assert.equal(readdirSync(node.dir), ['loopback']);
});

test('by force nothing is kept over a file that somebody else has put there', ({ node }) => {
  writeFileSync(join(node.dir, 'loopback'), 'stock');
  writeFileSync(join(node.dir, 'loopback.before-podlink'), 'mine');
  mustRefuse(() => install(node, { force: true }), /cannot be kept as .*loopback\.before-podlink"/);
  assert.equal(readdirSync(node.dir).sort(), ['loopback', 'loopback.before-podlink']);
});

test('a foreign configuration is refused, kept by force and put back', ({ node }) => {
  writeFileSync(node.conflist, 'theirs');
  mustRefuse(() => install(node, { text: '{}' }), /10-podlink\.conflist" is there already/);
  install(node, { text: '{}', force: true });
  assert.is(readFileSync(node.conflist, 'utf8'), '{}');
  uninstall(node);
  assert.is(readFileSync(node.conflist, 'utf8'), 'theirs');
});

test('a configuration that was written is replaced, one that was edited since is left even by force', ({ node }) => {
  install(node, { text: '{"a":1}' });
  install(node, { text: '{"a":2}' });
  assert.is(readFileSync(node.conflist, 'utf8'), '{"a":2}');
  writeFileSync(node.conflist, 'edited');
  const made = plan(node, { text: '{"a":3}', force: true });
  assert.is(made.places.at(-1)?.outcome, 'left');
  assert.ok(made.isDone);
  carryOut(made);
  assert.is(readFileSync(node.conflist, 'utf8'), 'edited');
  assert.is(uninstall(node)['net.d/10-podlink.conflist'], 'left');
  assert.is(readFileSync(node.conflist, 'utf8'), 'edited');
});

test('planRemoval() leaves what has been changed, and passes over what is gone', ({ node }) => {
  install(node);
  writeFileSync(join(node.dir, 'podlink'), executableText('by hand'));
  rmSync(join(node.dir, 'static'));
  rmSync(join(node.dir, 'loopback'));
  symlinkSync('elsewhere', join(node.dir, 'loopback'));
  assert.equal(uninstall(node), {
    'bin/loopback': 'left',
    'bin/host-local': 'removed',
    'bin/static': 'gone',
    'bin/podlink': 'left',
  });
  assert.equal(readdirSync(node.dir).sort(), ['loopback', 'podlink']);
});

test('planRemoval() takes the configuration from where it is now', ({ node }) => {
  install(node, { text: '{}' });
  const manifest = readManifest(node.dir);
  assert.ok(manifest);
  const [first] = planRemoval(node.dir, manifest, '/etc/elsewhere');
  assert.is(first?.path, '/etc/elsewhere/10-podlink.conflist');
});

test('carryOut() says when nothing was changed, and leaves nothing behind', ({ node }) => {
  const made = plan(node, { text: '{}' });
  rmSync(join(node.root, 'net.d'), { recursive: true });
  assert.throws(
    () => carryOut(made),
    (error: Error) => /nothing was changed/.test(error.message) && /ENOENT/.test(String(error.cause)),
  );
  assert.equal(readdirSync(node.dir), []);
});

test('readManifest() refuses what install did not write', ({ node }) => {
  const path = join(node.dir, MANIFEST_NAME);
  for (const text of [
    '',
    '[]',
    '{"version":2,"podlink":"1","files":[]}',
    '{"version":1,"podlink":"1","files":[{"path":"../etc/passwd","is":[]}]}',
    '{"version":1,"podlink":"1","files":[{"path":"/etc/passwd","is":[]}]}',
    '{"version":1,"podlink":"1","files":[{"path":"podlink","is":"x"}]}',
  ]) {
    writeFileSync(path, text);
    mustRefuse(() => readManifest(node.dir), /is not what "podlink install" writes/);
  }
});

test('isPodlinkExecutable() finds the mark at any place, in either encoding, in executables alone', ({ node }) => {
  const path = join(node.root, 'file');
  const window = 4 << 20;
  const mark = Buffer.from(EXECUTABLE_MARK);
  for (const at of [4, window - 10, window, 2 * window - mark.length, 2 * window + 1 - mark.length, 3 * window]) {
    const contents = Buffer.alloc(3 * window + 100);
    contents.write('\x7fELF', 'latin1');
    mark.copy(contents, at);
    writeFileSync(path, contents);
    assert.ok(isPodlinkExecutable(path), String(at));
    contents.write('#!/b', 'latin1');
    writeFileSync(path, contents);
    assert.not(isPodlinkExecutable(path), 'not an executable');
  }
  writeFileSync(path, Buffer.concat([Buffer.from('\x7fELF'), Buffer.from(EXECUTABLE_MARK, 'utf16le')]));
  assert.ok(isPodlinkExecutable(path));
  writeFileSync(path, '\x7fELF and no mark');
  assert.not(isPodlinkExecutable(path));
  assert.not(isPodlinkExecutable(node.root));
  assert.not(isPodlinkExecutable(join(path, 'below')));
});

test('openRunningExecutable() refuses the Node that runs the tests', () => {
  mustRefuse(() => openRunningExecutable(), /only the packed executable/);
});

test('what does not change is not written again', ({ node }) => {
  install(node, { text: '{}' });
  const old = new Date(0);
  for (const path of [join(node.dir, 'podlink'), node.conflist]) utimesSync(path, old, old);
  install(node, { text: '{}' });
  for (const path of [join(node.dir, 'podlink'), node.conflist]) assert.is(lstatSync(path).mtimeMs, 0);
  assert.ok(existsSync(join(node.dir, 'loopback')));
});

test.run();
