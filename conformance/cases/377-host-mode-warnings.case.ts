// What `validate` and `doctor` say of networks that put pods into the host's network.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, NO_COMMANDS, podlink, writeConfDir } from '../harness/operator-command.ts';

const { test, run } = cases("warnings of the host's network");

interface Finding {
  readonly level: string;
  readonly subject: string;
  readonly what: string;
  readonly meaning?: string;
  readonly remedy?: { readonly sentence: string };
}

/** The findings of doctor about the sysctls that containerd sets, with this configuration of containerd's. */
function findSysctls(host: Host, confDir: string, toml: string): Finding | undefined {
  const file = join(host.folder, 'config.toml');
  writeFileSync(file, toml);
  const dirs = ['--conf-dir', confDir, '--data-dir', host.dataDir, '--bin-dir', host.pluginFolder];
  const { stdout } = podlink(host, ['doctor', ...dirs, '--containerd-config', file, '--json']);
  return (JSON.parse(stdout) as Finding[]).find(
    ({ subject, what }) => subject === 'runtime' && /^containerd sets/.test(what),
  );
}

const OFF = 'enable_unprivileged_ports = false\nenable_unprivileged_icmp = false\n';
const SECTION = "[plugins.'io.containerd.cri.v1.runtime']\n";

test(
  'doctor finds the sysctls that containerd 2 sets in pods, where a pod may be in mode host',
  NO_COMMANDS,
  (host) => {
    for (const sharing of [
      { mode: 'host' },
      { allowModes: ['none', 'host'] },
      { overrides: [{ pod: 'kube-system/*', mode: 'host' }] },
    ]) {
      const confDir = writeConfDir(host, [host.config(sharing)]);
      const found = findSysctls(host, confDir, 'version = 3\n');
      assert.is(found?.level, 'fail');
      assert.match(found?.meaning ?? '', /runc does not start such a pod, and crun sets them in the host itself/);
      assert.match(
        found?.remedy?.sentence ?? '',
        /enable_unprivileged_ports = false and enable_unprivileged_icmp = false/,
      );
      assert.is(findSysctls(host, confDir, `version = 3\n${SECTION}${OFF}`)?.level, 'ok');
    }
    const confDir = writeConfDir(host, [host.config({ mode: 'host' })]);
    writeFileSync(join(host.folder, 'unprivileged.toml'), `version = 3\n${SECTION}${OFF}`);
    assert.is(
      findSysctls(host, confDir, 'version = 3\nimports = ["unprivileged.toml"]\n')?.level,
      'ok',
      'in an import',
    );
    assert.is(findSysctls(host, confDir, 'version = 2\n')?.level, 'ok', 'containerd 1 sets none');
    const old = '[plugins."io.containerd.grpc.v1.cri"]\nenable_unprivileged_ports = true\n';
    assert.match(
      findSysctls(host, confDir, `version = 2\n${old}`)?.what ?? '',
      /ip_unprivileged_port_start in every pod/,
    );
    const plain = writeConfDir(host, [host.config({ allowModes: ['container'] })]);
    assert.is(findSysctls(host, plain, 'version = 3\n'), undefined, 'no pod in the network of the host');
  },
);

test('validate warns of host in allowModes, and of no other', NO_COMMANDS, (host) => {
  const validate = (config: Config, ...options: string[]) => {
    const text = JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [config] });
    return { text, args: ['validate', '--no-kernel', ...options, '-'] };
  };
  const { cniVersion: _, name: __, ...entry } = host.config();
  const risky = validate({ ...entry, allowModes: ['container', 'host'] });
  const said = mustSay(host, risky.args, risky.text);
  assert.match(
    said,
    /warning +plugins\[0\]: "allowModes" has "host": whoever may create a pod can put it into the network/,
  );
  mustEnd(host, [...risky.args, '--strict'], 1, risky.text);
  for (const more of [
    { allowModes: ['container', 'none'] },
    { mode: 'host', ipam: undefined },
    { overrides: [{ pod: 'kube-system/*', mode: 'host' }] },
  ]) {
    const safe = validate({ ...entry, ...more });
    assert.not.match(mustEnd(host, safe.args, 0, safe.text).stdout, /"allowModes" has "host"/);
  }
});

run();
