// `doctor`: what is wrong with a node, what it means and what to do.

import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, podlink, writeConfDir } from '../harness/operator-command.ts';
import { addPod, delPod, type Pod } from '../harness/pod.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('doctor');

interface Finding {
  readonly level: string;
  readonly subject: string;
  readonly what: string;
  readonly meaning?: string;
  readonly remedy?: { readonly sentence: string; readonly commands: readonly string[] };
}

function doctor(host: Host, more: Config = {}): { args: string[]; pod: Pod } {
  const config = host.config({ isDefaultGateway: true, ipMasq: true, ...more });
  const args = [
    'doctor',
    '--conf-dir',
    writeConfDir(host, [config]),
    '--data-dir',
    host.dataDir,
    '--bin-dir',
    host.pluginFolder,
  ];
  return { args, pod: addPod(host, config) };
}

/** The finding with this level that says this. Fails when there is none, or when it tells no remedy. */
function mustFind(host: Host, args: readonly string[], level: 'warn' | 'fail', what: RegExp): Finding {
  const findings = mustTell<Finding[]>(host, args, level === 'fail' ? 1 : 0);
  const found = findings.find((finding) => finding.level === level && what.test(finding.what));
  assert.ok(found, JSON.stringify(findings.filter((finding) => finding.level !== 'ok')));
  assert.ok(found?.remedy, `no remedy: ${JSON.stringify(found)}`);
  return found as Finding;
}

test('doctor has nothing against a node that is well, and changes nothing', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  const before = host.snapshot();
  const text = mustSay(host, args);
  mustBeEmpty(host.changesSince(before), 'changed');
  assert.match(text, /^ok +kernel +Linux \d+\.\d+/);
  assert.match(text, /^ok +firewall +podlink's rules are whole \(masquerade\)$/m);
  assert.match(text, /^ok +attachments +1 attachment on record, 1 as ADD made them$/m);
  assert.match(text, /\n\nnothing is wrong\n$/);
  mustEnd(host, [...args, '--strict'], 0);
  const subjects = mustTell<Finding[]>(host, args).map(({ subject }) => subject);
  assert.equal(
    [...new Set(subjects)],
    [...['kernel', 'sysctl', 'firewall', 'plugins', 'configuration', 'directories', 'attachments', 'reservations']],
  );
});

test('doctor is content with a node that has nothing yet', NO_COMMANDS, (host) => {
  mustSay(host, ['doctor', '--conf-dir', host.folder, '--data-dir', host.dataDir, '--bin-dir', host.pluginFolder]);
});

test('doctor sees that forwarding was turned off', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  host.namespace.setSysctl('net/ipv4/ip_forward', '0');
  const { remedy } = mustFind(host, args, 'fail', /net\.ipv4\.ip_forward = 0, although network "pods"/);
  assert.equal(remedy?.commands, ['sysctl -w net.ipv4.ip_forward=1']);
});

test('doctor sees foreign chains that drop what is forwarded', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  const rules = 'add table inet fw; add chain inet fw guard { type filter hook forward priority 0; policy drop; }';
  host.namespace.mustRun('nft', [rules]);
  const { remedy } = mustFind(host, args, 'fail', /chain guard of table inet fw has policy drop/);
  assert.is(remedy?.commands[0], 'nft insert rule inet fw guard iifname cni0 accept');
});

test('doctor sees that our rules were flushed, and repair is the remedy', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  host.namespace.mustRun('nft', ['flush', 'ruleset']);
  const { what, remedy } = mustFind(host, args, 'fail', /of podlink's rules/);
  assert.match(what, /: table inet podlink is missing$/);
  mustFind(host, args, 'fail', /^interface "eth0" of container \S+ in network "pods": table inet podlink is missing$/);
  assert.equal(remedy?.commands, ['podlink repair']);
  mustSay(host, ['repair']);
  mustEnd(host, args, 0);
});

test('doctor sees a loopback that is not ours, and how much it matters', NO_COMMANDS, (host) => {
  const bin = join(host.folder, 'cni-bin');
  mkdirSync(bin);
  symlinkSync(join(REFERENCE_FOLDER, 'loopback'), join(bin, 'loopback'));
  const { args } = doctor(host);
  const { remedy } = mustFind(host, [...args, '--bin-dir', bin], 'warn', /loopback is not podlink/);
  assert.equal(remedy?.commands, [`podlink install ${bin} --force`]);
  assert.match(remedy?.sentence ?? '', /loopback\.before-podlink/);
  const sharing = host.config({ name: 'shared', mode: 'host' });
  writeConfDir(host, [sharing]);
  mustFind(host, [...args, '--bin-dir', bin], 'fail', /loopback is not podlink/);
  // A copy under another name says itself what it is.
  const copied = join(host.folder, 'copied-bin');
  mkdirSync(copied);
  copyFileSync(join(host.pluginFolder, 'podlink'), join(copied, 'loopback'));
  const findings = mustTell<Finding[]>(host, [...args, '--bin-dir', copied]);
  assert.ok(findings.some(({ level, what }) => level === 'ok' && what === `${copied}/loopback is podlink`));
});

test('doctor goes by the order of containerd, and by who raises lo', NO_COMMANDS, (host) => {
  const [stock, ours] = ['stock-bin', 'our-bin'].map((name) => join(host.folder, name));
  for (const dir of [stock, ours]) mkdirSync(dir as string);
  symlinkSync(join(REFERENCE_FOLDER, 'loopback'), `${stock}/loopback`);
  for (const name of ['podlink', 'loopback']) symlinkSync(join(host.pluginFolder, 'podlink'), `${ours}/${name}`);
  const conf = writeConfDir(host, [host.config({ mode: 'host', name: 'shared' })]);
  const file = join(host.folder, 'config.toml');
  const told = (cni: string): string[] => {
    writeFileSync(file, `version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n${cni}\n`);
    const args = ['doctor', '--conf-dir', conf, '--data-dir', host.dataDir, '--containerd-config', file, '--json'];
    const findings = JSON.parse(podlink(host, args).stdout) as Finding[];
    return findings.filter(({ what }) => /loopback/.test(what)).map(({ level, what }) => `${level} ${what}`);
  };
  assert.equal(told(`bin_dirs = ["${stock}", "${ours}"]`), [`fail ${stock}/loopback is not podlink`]);
  assert.equal(told(`bin_dirs = ["${ours}", "${stock}"]`), [`ok ${ours}/loopback is podlink`]);
  assert.equal(told(`bin_dir = "${stock}"`), [`fail ${stock}/loopback is not podlink`]);
  const [internal, ...others] = told(`bin_dirs = ["${stock}", "${ours}"]\nuse_internal_loopback = true`);
  assert.match(internal ?? '', /^ok containerd raises lo itself/);
  assert.equal(others, []);
});

test('doctor names a remedy for a stock loopback that can be taken back', NO_COMMANDS, (host) => {
  const bin = join(host.folder, 'debian-bin');
  mkdirSync(bin);
  symlinkSync(join(REFERENCE_FOLDER, 'loopback'), join(bin, 'loopback'));
  const { args, pod } = doctor(host);
  const asked = [...args, '--bin-dir', bin];
  const absent = mustFind(host, asked, 'warn', /podlink is in none of/);
  assert.equal(absent.remedy?.commands, [`podlink install ${bin}`]);
  const { remedy } = mustFind(host, asked, 'warn', /loopback is not podlink/);
  assert.match(remedy?.sentence ?? '', /"podlink uninstall" puts it back/);
  const [, ...install] = remedy?.commands[0]?.split(' ') ?? [];
  mustSay(host, install);
  mustSay(host, [...asked, '--strict']);
  delPod(host, pod);
  mustSay(host, ['uninstall', bin]);
  mustFind(host, asked, 'warn', /loopback is not podlink/);
});

test('doctor sees links that lead nowhere in the place of the plugins', NO_COMMANDS, (host) => {
  const bin = join(host.folder, 'dangling-bin');
  mkdirSync(bin);
  const { args } = doctor(host);
  const asked = [...args, '--bin-dir', bin];
  symlinkSync('podlink', join(bin, 'loopback'));
  const { remedy, meaning } = mustFind(host, asked, 'fail', /\/loopback is a link to "podlink", which is not there$/);
  assert.match(meaning ?? '', /containerd runs a plugin of this name for every pod/);
  assert.equal(remedy?.commands, [`podlink install ${bin} --force`]);
  symlinkSync('/nonexistent/podlink', join(bin, 'podlink'));
  mustFind(host, asked, 'fail', /\/podlink is a link to "\/nonexistent\/podlink", which is not there$/);
  mustSay(host, ['install', bin, '--force']);
  mustSay(host, [...asked, '--strict']);
});

test('doctor sees one name in two files', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  const dir = join(host.folder, 'net.d');
  const second = join(dir, '20-again.conflist');
  writeFileSync(second, JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'bridge' }] }));
  const { what, meaning } = mustFind(host, args, 'warn', /^network "pods" is in /);
  assert.is(what, `network "pods" is in ${dir}/10-pods.conflist and in ${second}`);
  assert.match(meaning ?? '', /the runtime takes the first, .*10-pods\.conflist/);
});

test('doctor sees that the plugin of another ipam is not there', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  writeConfDir(host, [host.config({ name: 'leased', ipam: { type: 'no-such-ipam' } })]);
  mustFind(host, args, 'warn', new RegExp(`"no-such-ipam" is not built in, and is not in ${host.pluginFolder}`));
});

test('doctor sees what a configuration has wrong', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  writeConfDir(host, [host.config({ name: 'broken', mtu: 'big' })]);
  mustFind(host, args, 'fail', /10-broken\.conflist: plugins\[0\]: Invalid "mtu"/);
});

test('doctor sees attachments that are stale, damaged or none', NO_COMMANDS, (host) => {
  const { args, pod } = doctor(host);
  pod.namespace.ip('link', 'set', 'eth0', 'down');
  mustFind(host, args, 'fail', /interface "eth0" of container/);
  pod.namespace.remove();
  mustFind(host, args, 'warn', /is stale: its network namespace .* is gone/);
  writeFileSync(`${host.runDir}/attachments/pods/x.eth0.json`, '{"version":1,');
  mustFind(host, args, 'warn', /1 file among the records is torn, or of another version/);
});

test('doctor sees reservations of nobody, strays and a range that is nearly full', NO_COMMANDS, (host) => {
  const { args } = doctor(host, { ipam: host.hostLocal(['10.77.0.0/29']) });
  const dir = `${host.dataDir}/pods`;
  writeFileSync(`${dir}/10.77.0.3`, '');
  writeFileSync(`${dir}/notes.txt`, '');
  mustFind(host, args, 'warn', /1 reservation of network "pods" is of nobody/);
  mustFind(host, args, 'warn', /notes\.txt \(not a file of this directory\)/);
  for (const last of [4, 5, 6]) writeFileSync(`${dir}/10.77.0.${last}`, `c${last}\r\neth0`);
  mustFind(host, args, 'fail', /range 10\.77\.0\.1-10\.77\.0\.6 of network "pods" has 5 of its 5 addresses taken/);
});

test('doctor sees a directory that cannot be written to', NO_COMMANDS, (host) => {
  const { args } = doctor(host);
  const file = join(host.folder, 'file');
  writeFileSync(file, '');
  const output = host.namespace.run(join(host.pluginFolder, 'podlink'), [...args, '--json'], {
    env: { PODLINK_RUN_DIR: `${file}/run` },
  });
  assert.is(output.code, 1, output.stderr);
  assert.match(output.stdout, /cannot be written to/);
});

run();
