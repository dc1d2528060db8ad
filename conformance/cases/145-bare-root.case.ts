// A node without glibc, libstdc++ and libatomic: the root has the executable, the state's folders, /proc and /sys.

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { EXECUTABLE } from '../harness/plugin.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('a node without a C library');

const NO_EXECUTABLE = { absent: 'Go plugins need no library' } as const;

/** What goes before the plugin: a mount namespace in which its folders and nothing else lie below another root. */
function inBareRoot(host: Host): string[] {
  const root = join(host.folder, 'bare');
  const folders = ['/proc', '/sys', '/run', host.pluginFolder, dirname(EXECUTABLE), host.dataDir, host.runDir];
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true });
    mkdirSync(join(root, folder), { recursive: true });
  }
  const mounts = folders.map((folder) => `mount --rbind "${folder}" "${root}${folder}"`).join(' && ');
  return ['unshare', '--mount', '--', 'sh', '-c', `${mounts} && exec chroot "${root}" "$0" "$@"`];
}

test('VERSION, ADD, CHECK and DEL work in a root without any library', NO_EXECUTABLE, (host) => {
  const under = inBareRoot(host);
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const container = host.addContainer();
  const version = host.invoke('VERSION', { config: { cniVersion: '1.0.0' }, program: 'podlink', under });
  assert.is(version.code, 0, version.stderr);

  const before = host.snapshot();
  const added = host.invoke('ADD', { config, container, under });
  assert.is(added.code, 0, added.stdout + added.stderr);
  assert.match(container.ip('-br', 'address'), /eth0\S*\s+UP\s+10\.77\.0\.2\/24/);
  const checked = host.invoke('CHECK', { config: { ...config, prevResult: added.json }, container, under });
  assert.is(checked.code, 0, checked.stdout + checked.stderr);
  const deleted = host.invoke('DEL', { config, container, under });
  assert.is(deleted.code, 0, deleted.stdout + deleted.stderr);
  mustBeEmpty(host.leftSince(before), 'left after DEL');
});

run();
