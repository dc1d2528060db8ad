// `validate`: lists in the shapes that are shipped with runtimes, podlink in the place of the plugin it replaces, and
// lists with mistakes.

import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS } from '../harness/operator-command.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

interface Checked {
  readonly file: string;
  readonly network?: string;
  readonly entries: number;
  readonly faults: readonly { readonly level: string; readonly place: string; readonly message: string }[];
}

const { test, run } = cases('validate', { shared: true });
const FOLDER = fileURLToPath(new URL('../conflists', import.meta.url));

/** What is told of them, where it is anything: kubenet's `addIf` no bridge plugin has read for years. */
const TOLD: Readonly<Record<string, RegExp>> = {
  'kubenet.conflist': /^warning: unknown key "addIf"[^:]*$/,
  'cloud-oddities.conflist':
    /^(warning: unknown key "(policy|log_level|datastore_type|nodename|vethPrefix|pluginLogLevel|ipam\.environment)"[^:]*,?)+$/,
};

test('the lists of kubeadm, k3s, containerd, Podman, nerdctl, CRI-O and kind are good', NO_COMMANDS, (host) => {
  const files = readdirSync(FOLDER).sort();
  assert.ok(files.length >= 10);
  // One by one, as no node has all of them: containerd's and Podman's, for example, have one subnet.
  const checked = files.flatMap((file) => mustTell<Checked[]>(host, ['validate', '--no-kernel', join(FOLDER, file)]));
  assert.is(checked.length, files.length);
  checked.forEach(({ faults, entries }, i) => {
    const file = files[i] ?? '';
    const told = faults.map(({ level, message }) => `${level}: ${message}`);
    assert.is(entries, file === 'calico.conflist' ? 0 : 1, file);
    if (TOLD[file]) assert.match(told.join(), TOLD[file]);
    else assert.equal(told, [], file);
  });
});

const ENTRY = { type: 'podlink', bridge: 'cni0', ipam: { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/16' }]] } };
const list = (entry: object) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [{ ...ENTRY, ...entry }] }, undefined, 2);

test('all that is wrong with a list is told at once, with its place', NO_COMMANDS, (host) => {
  const text = list({ isgatway: true, mtu: '1500', ipMasq: 'yes', vlan: 5000, allowModes: ['hst'] });
  const { stdout } = mustEnd(host, ['validate', '--no-kernel', '-'], 1, text);
  for (const pattern of [
    /^standard input: 4 errors, 2 warnings \(network "pods"\)$/m,
    /^ {2}warning {2}plugins\[0\]: unknown key "isgatway", which is ignored; did you mean "isGateway"\?$/m,
    /^ {2}error {4}plugins\[0\]: Invalid "mtu": must be a whole number from 0 to 65535, is "1500"$/m,
    /^ {2}error {4}plugins\[0\]: Invalid "ipMasq": must be true or false, is "yes"$/m,
    /"vlan": must be a whole number from 0 to 4094, is 5000/,
    /"allowModes\[0\]": must be one of bridge, host, container, none, is "hst"/,
  ]) {
    assert.match(stdout, pattern);
  }
});

test('text that is not JSON is told with line and column', NO_COMMANDS, (host) => {
  const { stdout } = mustEnd(host, ['validate', '-'], 1, '{\n  "name": "x",\n  "plugins": [ }');
  assert.match(stdout, /not JSON: unexpected "}", expected a value, at line 3, column 16/);
});

test('warnings fail only with --strict', NO_COMMANDS, (host) => {
  const text = list({ isgatway: true });
  mustEnd(host, ['validate', '--no-kernel', '-'], 0, text);
  mustEnd(host, ['validate', '--no-kernel', '--strict', '-'], 1, text);
  mustEnd(host, ['validate', '--no-kernel', '--strict', '-'], 0, list({}));
});

test('what validate calls an error ADD refuses, and what it calls good ADD accepts', NO_COMMANDS, (host) => {
  const rows: readonly (readonly [entry: object, isGood: boolean])[] = [
    [{}, true],
    [{ mtu: 1400, hairpinMode: true, ipMasq: true }, true],
    [{ promiscMode: true, hairpinMode: true }, false],
    [{ bridge: 'far-too-long-for-a-link' }, false],
    [{ ipam: { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/31' }]] } }, false],
    [{ ipam: { type: 'host-local' } }, false],
    [{ mode: 'hots' }, false],
    [{ ingressBurst: 5 }, false],
    [{ mtu: 1000 }, true],
    [{ mtu: 1000, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']) }, false],
  ];
  for (const [entry, isGood] of rows) {
    const config = { ...host.config(), ...entry };
    const { ipam } = config as { ipam: object };
    const complete = { ...config, ipam: { ...ipam, dataDir: host.dataDir } };
    mustEnd(host, ['validate', '--no-kernel', '-'], isGood ? 0 : 1, JSON.stringify(complete));
    const container = host.addContainer();
    assert.is(host.invoke('ADD', { config: complete, container }).code, isGood ? 0 : 1, JSON.stringify(entry));
    if (isGood) host.invoke('DEL', { config: complete, container });
  }
});

test('validate warns of a gateway out of reach, which the kernel refuses at ADD', NO_COMMANDS, (host) => {
  const ipam = { ...host.hostLocal(['10.77.0.0/24']), ranges: [[{ subnet: '10.77.0.0/24', gateway: '10.99.0.1' }]] };
  const config = host.config({ isDefaultGateway: true, ipam });
  const { stdout } = mustEnd(host, ['validate', '--no-kernel', '--strict', '-'], 1, JSON.stringify(config));
  assert.match(stdout, /warning +"ipam\.ranges\[0\]\[0\]\.gateway" 10\.99\.0\.1 is not in 10\.77\.0\.0\/24/);
  assert.is(host.invoke('ADD', { config, container: host.addContainer() }).code, 1);
});

test('validate changes nothing, and reads a file that is none', NO_COMMANDS, (host) => {
  const file = join(host.folder, 'x.conflist');
  writeFileSync(file, list({}));
  const before = host.snapshot();
  assert.match(mustSay(host, ['validate', '--no-kernel', file]), /x\.conflist: ok \(network "pods"\)/);
  mustBeEmpty(host.changesSince(before), 'changed');
  assert.match(
    mustEnd(host, ['validate', '/nonexistent'], 1).stdout,
    /^\/nonexistent: 1 error .*\n.*there is no such file/,
  );
  assert.match(mustSay(host, ['validate', '--no-kernel', host.folder]), /x\.conflist: ok \(network "pods"\)/);
  assert.match(mustEnd(host, ['validate', host.pluginFolder], 1).stdout, /is a directory/);
});

test('a file that cannot be read does not keep validate and doctor from the others', NO_COMMANDS, (host) => {
  const dir = join(host.folder, 'mixed.d');
  mkdirSync(join(dir, '20-folder.conf'), { recursive: true });
  symlinkSync('/nonexistent/x.conf', join(dir, '15-x.conf'));
  symlinkSync('16-loop.conf', join(dir, '16-loop.conf'));
  host.namespace.mustRun('mkfifo', [join(dir, '17-pipe.conf')]);
  writeFileSync(join(dir, '30-broken.conflist'), list({ mtu: 'big' }));
  writeFileSync(join(dir, '40-good.conflist'), list({}));
  const files = readdirSync(dir).sort();
  const told = (args: readonly string[]) =>
    mustTell<Checked[]>(host, ['validate', '--no-kernel', ...args.map((name) => join(dir, name))], 1);
  assert.equal(
    told(files).map(({ faults }) => faults.map(({ message }) => message.replace(/,.*$/, '')).join()),
    [
      'is a link to "/nonexistent/x.conf"',
      'is a link that leads to itself',
      'is not a regular file',
      'is a directory',
      'Invalid "mtu": must be a whole number from 0 to 65535',
      '',
    ],
  );
  const found = mustEnd(host, ['doctor', '--conf-dir', dir, '--data-dir', host.dataDir, '--bin-dir', dir], 1);
  for (const pattern of [
    /^fail +configuration +\S+15-x\.conf: is a link to "\/nonexistent\/x\.conf", which is not there$/m,
    /^fail +configuration +\S+16-loop\.conf: is a link that leads to itself$/m,
    /^fail +configuration +\S+17-pipe\.conf: is not a regular file$/m,
    /^warn +configuration +\S+20-folder\.conf: is a directory, which runtimes pass over$/m,
    /^fail +configuration +\S+30-broken\.conflist: plugins\[0\]: Invalid "mtu"/m,
    /^ok +configuration +2 files of .* with podlink in it$/m,
  ]) {
    assert.match(found.stdout, pattern);
  }
  assert.not.match(found.stdout, /unknown +configuration|sorts before/);
});

run();
