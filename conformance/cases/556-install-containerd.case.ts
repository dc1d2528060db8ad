// What `install` makes is what containerd needs: a pod gets its network from the installed directory and configuration.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Config } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import { mustEnd, mustSay } from '../harness/operator-command.ts';
import { AGAINST_REFERENCE } from '../harness/plugin.ts';
import { Containerd } from '../runtimes/containerd.ts';
import { enterOwnMachine, SCRATCH } from '../runtimes/own-machine.ts';
import { skip } from '../suite/skip.ts';

enterOwnMachine();
const test = suite('install: containerd');

const BIN = '/opt/cni/bin';
const CONF = '/etc/cni/net.d';

test('a pod runs on it, and after it is uninstall takes everything back', async () => {
  if (AGAINST_REFERENCE) return skip('install: containerd', 'the reference plugins have no commands');
  const host = new Host();
  try {
    mustSay(host, ['install', BIN, '--conf-dir', CONF, '--subnet', '10.88.0.0/24', '--subnet', 'fd00:88::/64']);
    const { plugins, ...list } = JSON.parse(readFileSync(join(CONF, '10-podlink.conflist'), 'utf8')) as {
      plugins: [Config];
    };
    const containerd = await Containerd.start({
      host: host.namespace,
      folder: join(SCRATCH, 'c'),
      pluginFolder: BIN,
      network: [{ ...list, ...plugins[0] }],
    });
    try {
      const pod = await containerd.cri.run('web');
      assert.is((await containerd.cri.status(pod)).ip, '10.88.0.2');
      const [bridge] = host.namespace.ipJson<{ ifname: string }>('link', 'show', 'cni0');
      assert.is(bridge?.ifname, 'cni0');
      await containerd.cri.stopAndRemove(pod);
    } finally {
      await containerd.remove();
    }
    mustSay(host, ['uninstall', BIN]);
    assert.match(mustEnd(host, ['uninstall', BIN], 1).stderr, /has put nothing into/);
  } finally {
    host.remove();
  }
});

test.run();
