// `podlink install` and `uninstall`: into directories with others' files, twice, over an older one, and where it cannot be.

import { appendFileSync, copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { type Output, run as runProgram } from '../harness/command.ts';
import { type FolderState, stateOf } from '../harness/folder-state.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, podlink } from '../harness/operator-command.ts';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('install');

interface Installed {
  readonly dir: string;
  readonly files: readonly { readonly path: string; readonly outcome: string; readonly kept?: string }[];
}

/** A directory as a distribution leaves it: with the stock plugins. */
function stockFolder(host: Host, plugins: readonly string[] = ['loopback', 'host-local', 'portmap']): string {
  const dir = join(host.folder, 'opt');
  mkdirSync(dir);
  for (const name of plugins) copyFileSync(join(REFERENCE_FOLDER, name), join(dir, name));
  return dir;
}

function outcomesOf({ files }: Installed): Record<string, string> {
  return Object.fromEntries(files.map(({ path, outcome }) => [path.split('/').at(-1) ?? path, outcome]));
}

/** Run it in a mount namespace of its own, after a shell has mounted something. */
function installIn(mount: string, dir: string, args: readonly string[], after = ''): Output {
  const script = `${mount} && { "$0" install "$@"; code=$?; ${after} exit $code; }`;
  return runProgram('unshare', ['--mount', '--', 'sh', '-c', script, EXECUTABLE, dir, ...args]);
}

test('an empty directory gets podlink and its names, which answer', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'a/b');
  const text = mustSay(host, ['install', dir]);
  assert.match(
    text,
    /^installed {2}\S+\/podlink\n[\s\S]*loopback -> podlink\n[\s\S]*podlink \S+ is installed in \S+, a folder that was not there\n$/,
  );
  for (const name of ['podlink', 'loopback', 'host-local', 'static']) {
    const { stdout } = runProgram(join(dir, name), [], { env: { CNI_COMMAND: 'VERSION' } });
    assert.match(stdout, /"supportedVersions"/, name);
  }
  assert.is(stateOf(dir).get('podlink'), `0755 ${stateOf(join(EXECUTABLE, '..')).get('podlink')?.split(' ')[1]}`);
});

test('a working directory that is gone is no matter where every path is absolute', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'a/b');
  const from = (...args: readonly string[]) =>
    runProgram('sh', [
      '-c',
      'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"',
      join(host.folder, 'gone'),
      EXECUTABLE,
      ...args,
    ]);
  const more = ['--conf-dir', join(host.folder, 'net.d'), '--subnet', '10.9.0.0/16'];
  for (const args of [
    ['install', dir, '--dry-run'],
    ['install', dir],
    ['install', dir, ...more],
    ['uninstall', dir],
  ]) {
    const { code, stderr } = from(...args);
    assert.is(code, 0, `${args.join(' ')}: ${stderr}`);
  }
  const { code, stderr } = from('install', 'bin');
  assert.is(code, 1);
  assert.match(stderr, /^podlink: the working directory is gone: "bin" must be an absolute path\n$/);
});

test("others' plugins are refused by name, and nothing is changed", NO_COMMANDS, (host) => {
  const dir = stockFolder(host);
  const before = stateOf(host.folder);
  const conf = ['--conf-dir', join(host.folder, 'net.d'), '--subnet', '10.9.0.0/16'];
  const { stdout, stderr } = mustEnd(host, ['install', dir, ...conf], 1);
  assert.is(stdout, '');
  assert.match(stderr, /\/loopback" is another plugin .*--force keeps it as loopback\.before-podlink; .*\/host-local"/);
  assert.equal(stateOf(host.folder), before);
});

test('by force they are kept, and uninstall puts everything back as it was', NO_COMMANDS, (host) => {
  const dir = stockFolder(host);
  const confDir = join(host.folder, 'net.d');
  mkdirSync(confDir);
  writeFileSync(join(confDir, '10-podlink.conflist'), '{}');
  writeFileSync(join(confDir, '99-loopback.conf'), '{}');
  const before = stateOf(host.folder);
  const args = ['install', dir, '--force', '--conf-dir', confDir, '--subnet', '10.9.0.0/16', '--subnet=fd00:9::/64'];

  const dry = mustTell<Installed>(host, [...args, '--dry-run']);
  assert.equal(stateOf(host.folder), before, 'a dry run changes nothing');
  const installed = mustTell<Installed>(host, args);
  assert.equal(outcomesOf(installed), outcomesOf(dry));
  assert.equal(outcomesOf(installed), {
    podlink: 'installed',
    loopback: 'replaced',
    'host-local': 'replaced',
    static: 'installed',
    '10-podlink.conflist': 'replaced',
  });
  assert.ok(existsSync(join(dir, 'loopback.before-podlink')));
  mustSay(host, ['validate', '--strict', '--no-kernel', join(confDir, '10-podlink.conflist')]);

  const after = stateOf(host.folder);
  assert.match(mustSay(host, args), /podlink \S+ is already installed in/);
  assert.equal(stateOf(host.folder), after, 'the second time changes nothing');

  mustSay(host, ['uninstall', dir, '--dry-run']);
  assert.equal(stateOf(host.folder), after, 'a dry run changes nothing');
  mustSay(host, ['uninstall', dir]);
  assert.equal(stateOf(host.folder), before);
  assert.match(mustEnd(host, ['uninstall', dir], 1).stderr, /has put nothing into/);
});

test('an upgrade replaces the executable alone', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'opt');
  mkdirSync(dir);
  copyFileSync(EXECUTABLE, join(dir, 'podlink'));
  appendFileSync(join(dir, 'podlink'), 'of another build');
  const older = join(dir, 'podlink');
  const env = { PODLINK_RUN_DIR: host.runDir };
  assert.is(runProgram(older, ['install', dir], { env }).code, 0, 'it installs itself where it is');
  const before = stateOf(dir);
  assert.equal(outcomesOf(mustTell<Installed>(host, ['install', dir])), {
    podlink: 'replaced',
    loopback: 'unchanged',
    'host-local': 'unchanged',
    static: 'unchanged',
  });
  const changed = [...stateOf(dir)].filter(([name, state]) => before.get(name) !== state).map(([name]) => name);
  assert.equal(changed, ['.podlink-installed.json', 'podlink']);
});

test('what was changed since is left by uninstall, which says so', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'opt');
  const confDir = join(host.folder, 'net.d');
  const args = ['install', dir, '--conf-dir', confDir, '--subnet', '10.9.0.0/16'];
  mustSay(host, args);
  writeFileSync(join(confDir, '10-podlink.conflist'), '{"edited":true}');
  const again = mustEndSaying(host, [...args, '--force'], 0, /has been edited since it was installed, and is left/);
  assert.match(again, /already installed/);
  assert.match(again, /10-podlink\.conflist \(edited since; to have it written anew remove it and run this again/);
  const planned = mustEndSaying(host, ['uninstall', dir, '--dry-run'], 1, /: delete it yourself/);
  assert.match(planned, /^would leave .*10-podlink\.conflist$/m);
  assert.match(planned, /^would remove .*\/podlink$/m);
  mustEndSaying(
    host,
    ['uninstall', dir],
    1,
    /it is not what was installed: delete it yourself, the runtime still sees/,
  );
  assert.equal([...stateOf(dir).keys()], []);
  assert.is(readFileSync(join(confDir, '10-podlink.conflist'), 'utf8'), '{"edited":true}');
});

test('a configuration that comes before is warned of', NO_COMMANDS, (host) => {
  const confDir = join(host.folder, 'net.d');
  mkdirSync(confDir);
  writeFileSync(join(confDir, '05-other.conflist'), '{}');
  const args = ['install', join(host.folder, 'opt'), '--conf-dir', confDir, '--subnet', '10.9.0.0/16'];
  mustEndSaying(host, args, 0, /05-other\.conflist" comes before 10-podlink\.conflist/);
});

const MISUSES: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['install'], /DIR is missing/],
  [['install', '/nowhere', '--subnet', '10.9.0.0/16'], /--subnet is for a configuration: --conf-dir/],
  [['install', '/nowhere', '--network', 'pods'], /--network is for a configuration/],
  [['install', '/nowhere', '--conf-dir', '/nowhere'], /--subnet is missing/],
  [['install', '/nowhere', '--conf-dir', '/nowhere', '--subnet', '10.9.0.1/16'], /host bits set/],
  [
    ['install', '/nowhere', '--conf-dir', '/nowhere', '--subnet', '10.9.0.0/16', '--subnet', '10.8.0.0/16'],
    /one of IPv4/,
  ],
  [['install', '/nowhere', '--conf-dir', '/nowhere', '--subnet', '10.9.0.0/16', '--network', '../x'], /--network must/],
];
test('wrong usage is exit code 2, and makes nothing', NO_COMMANDS, (host) => {
  for (const [args, says] of MISUSES) mustEndSaying(host, args, 2, says);
  assert.not(existsSync('/nowhere'));
});

test('a file in the place of a directory is refused', NO_COMMANDS, (host) => {
  const file = join(host.folder, 'file');
  writeFileSync(file, 'x');
  mustEndSaying(host, ['install', file], 1, /not a directory|ENOTDIR/);
  assert.is(readFileSync(file, 'utf8'), 'x');
});

test('on a read-only file system nothing is changed, and what is installed already is fine', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'opt');
  mkdirSync(dir);
  const mount = `mount --bind "${dir}" "${dir}" && mount -o remount,bind,ro "${dir}"`;
  const refused = installIn(mount, dir, []);
  assert.is(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /Cannot install into "\S+\/opt"; nothing was changed .*EROFS/);
  assert.equal([...stateOf(dir).keys()], []);
  mustSay(host, ['install', dir]);
  const again = installIn(mount, dir, []);
  assert.is(again.code, 0, again.stderr);
  assert.match(again.stdout, /already installed/);
});

test('on a full disk the older one stays, and nothing is left', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'full');
  mkdirSync(dir);
  const megabytes = Math.ceil(lstatSync(EXECUTABLE).size / 2 ** 20);
  const mount = `mount -t tmpfs -o size=${megabytes + 20}m full "${dir}" && cp "$0" "${dir}/podlink" && printf x >>"${dir}/podlink" && sum=$(sha256sum "${dir}/podlink")`;
  const after = `test "$sum" = "$(sha256sum "${dir}/podlink")" && echo SAME; ls -A "${dir}";`;
  const { code, stdout, stderr } = installIn(mount, dir, [], after);
  assert.is(code, 1, stderr);
  assert.match(stderr, /Cannot install into "\S+\/full"; nothing was changed .*ENOSPC/);
  assert.is(stdout, 'SAME\npodlink\n');
});

test('uninstall is refused while a container is attached, unless by force', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'opt');
  mustSay(host, ['install', dir]);
  const before: FolderState = stateOf(dir);
  const invocation = { config: host.config(), container: host.addContainer() };
  mustAdd(host, invocation);
  mustEndSaying(host, ['uninstall', dir], 1, /1 interface of containers is attached.*drain the node first/);
  assert.equal(stateOf(dir), before);
  mustPass(host, 'DEL', invocation);
  mustSay(host, ['uninstall', dir]);
  assert.equal([...stateOf(dir).keys()], []);
});

function mustEndSaying(host: Host, args: readonly string[], code: number, says: RegExp): string {
  const output = podlink(host, args);
  assert.is(output.code, code, output.stdout + output.stderr);
  assert.match(output.stderr, says);
  return output.stdout;
}

run();
