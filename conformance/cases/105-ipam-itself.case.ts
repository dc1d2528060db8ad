// An IPAM plugin that is podlink itself, by a link or as a copy: an error at once, not a call of itself that waits for its own
// lock.

import { copyFileSync, linkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { EXECUTABLE } from '../harness/plugin.ts';
import { mustBeEmpty, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('podlink as its own IPAM plugin');
const OURS = { absent: 'one executable for all plugins' };
/** Far below the time that a call waits for a lock. */
const AT_ONCE_MS = 20_000;

const WAYS: readonly (readonly [string, string, (path: string) => void])[] = [
  ['a symbolic link "dhcp"', 'dhcp', (path) => symlinkSync(EXECUTABLE, path)],
  ['a relative link "whereabouts"', 'whereabouts', (path) => symlinkSync('podlink', path)],
  ['a copy "dhcp"', 'dhcp', (path) => copyFileSync(EXECUTABLE, path)],
  ['a copy "podlink.old"', 'podlink.old', (path) => copyFileSync(EXECUTABLE, path)],
  ['a link "podlink-2"', 'podlink-2', (path) => symlinkSync(EXECUTABLE, path)],
];
for (const [way, type, put] of WAYS) {
  test(`${way} is refused by every verb, and nothing is left`, OURS, (host) => {
    put(join(host.pluginFolder, type));
    const config = host.config({ cniVersion: '1.1.0', ipam: { type } });
    const container = host.addContainer();
    const words = new RegExp(`"?ipam\\.type"?.*"${type}"|podlink is no "${type}"`);
    const before = host.snapshot();
    const started = performance.now();
    mustRefuse(host, 'ADD', { config, container }, 7, words);
    mustRefuse(host, 'STATUS', { config }, 7, words);
    mustRefuse(
      host,
      'CHECK',
      { config: withPrevResult(config, { ips: [] }), container },
      type.includes('podlink') ? 7 : 101,
      words,
    );
    host.invoke('DEL', { config, container });
    host.invoke('GC', { config: { ...config, 'cni.dev/valid-attachments': [] } });
    assert.ok(performance.now() - started < AT_ONCE_MS, `it waited: ${performance.now() - started} ms`);
    mustBeEmpty(host.leftSince(before), 'left behind');
  });
}

test('a hard link is found too', OURS, (host) => {
  copyFileSync(EXECUTABLE, join(host.folder, 'whole'));
  linkSync(join(host.folder, 'whole'), join(host.pluginFolder, 'my-ipam'));
  linkSync(join(host.folder, 'whole'), join(host.pluginFolder, 'podlink-x'));
  const config = host.config({ type: 'podlink-x', ipam: { type: 'my-ipam' } });
  const invocation = { config, container: host.addContainer(), program: 'podlink-x' };
  mustRefuse(host, 'ADD', invocation, 7, /"ipam\.type": .*my-ipam is podlink itself/);
});

run();
