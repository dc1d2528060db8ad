// STATUS: silent when an ADD could be served now, else error 50 with the reason, or 7 for a configuration nothing could
// make work.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, delPod } from '../harness/pod.ts';
import { mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('STATUS');
const ABSENT = { absent: 'STATUS, in the version that Debian has' };

function network(host: Host, overrides: Config = {}): Config {
  return host.config({ cniVersion: '1.1.0', isGateway: true, ipMasq: true, ...overrides });
}

/** What STATUS may make: its own empty folders. */
function madeSince(host: Host, before: readonly string[]): string[] {
  return host.changesSince(before).filter((line) => !/^\+ folder |^\+ file \S+\/lock ""/.test(line));
}

test('STATUS passes on a host where nothing was done yet, and with containers attached', ABSENT, (host) => {
  const config = network(host);
  const before = host.snapshot();
  mustPass(host, 'STATUS', { config });
  mustBeEmpty(madeSince(host, before), 'made by STATUS');
  const pod = addPod(host, config);
  const busy = host.snapshot();
  mustPass(host, 'STATUS', { config });
  mustBeEmpty(madeSince(host, busy), 'made by STATUS');
  delPod(host, pod);
});

test('STATUS passes for every IPAM and mode', ABSENT, (host) => {
  const { ipam: _, ...l2 } = network(host);
  const fixed = { type: 'static', addresses: [{ address: '10.77.0.5/24' }] };
  for (const config of [
    l2,
    network(host, { ipam: fixed }),
    ...['host', 'container', 'none'].map((mode) => ({ ...l2, mode })),
  ])
    mustPass(host, 'STATUS', { config });
  // The ranges of a node come with each ADD; STATUS is told none.
  mustPass(host, 'STATUS', { config: network(host, { ipam: host.hostLocal([]), capabilities: { ipRanges: true } }) });
});

test('STATUS is 50 when every address is taken, naming the range, and passes again after a DEL', ABSENT, (host) => {
  const config = network(host, { ipam: host.hostLocal(['10.77.0.0/30', 'fd00:77::/64']) });
  mustPass(host, 'STATUS', { config });
  const pod = addPod(host, config);
  mustRefuse(host, 'STATUS', { config }, 50, /10\.77\.0\.1-10\.77\.0\.2/);
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /10\.77\.0\.1-10\.77\.0\.2/);
  delPod(host, pod);
  mustPass(host, 'STATUS', { config });
});

test('STATUS is 50 when another kind of link has the name of the bridge, and says which', ABSENT, (host) => {
  host.namespace.ip('link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other');
  mustRefuse(host, 'STATUS', { config: network(host) }, 50, /"cni0".*not a bridge.*veth/);
  host.namespace.ip('link', 'del', 'cni0');
  mustPass(host, 'STATUS', { config: network(host) });
});

test('STATUS is 50 when a file is in the place of the run folder, and names it', ABSENT, (host) => {
  writeFileSync(host.runDir, '');
  mustRefuse(host, 'STATUS', { config: network(host) }, 50, new RegExp(host.runDir));
  rmSync(host.runDir);
  mustPass(host, 'STATUS', { config: network(host) });
});

test('STATUS is 50 when a file is in the place where records go', ABSENT, (host) => {
  mkdirSync(host.runDir);
  writeFileSync(`${host.runDir}/attachments`, '');
  mustRefuse(host, 'ADD', { config: network(host), container: host.addContainer() }, 5, /attachments/);
  mustRefuse(host, 'STATUS', { config: network(host) }, 50, new RegExp(`${host.runDir}/attachments`));
});

test('STATUS is 50 when a file is in the place of the data folder, and names it', ABSENT, (host) => {
  for (const path of [host.dataDir, `${host.dataDir}/pods`]) {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { recursive: true, force: true });
    writeFileSync(path, '');
    mustRefuse(host, 'STATUS', { config: network(host) }, 50, new RegExp(host.dataDir));
    rmSync(path);
    mustPass(host, 'STATUS', { config: network(host) });
  }
});

for (const code of [50, 51]) {
  test(`STATUS is ${code} when the IPAM plugin says so, with its words`, ABSENT, (host) => {
    const config = network(host, { ipam: { type: 'unready' } });
    const reply = JSON.stringify({ cniVersion: '1.1.0', code, msg: 'the daemon is not there' });
    const script = `#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = STATUS ] || exit 0\necho '${reply}'\nexit 1\n`;
    writeFileSync(`${host.pluginFolder}/unready`, script, { mode: 0o755 });
    mustRefuse(host, 'STATUS', { config }, code, /unready.*the daemon is not there/);
  });
}

test('STATUS is 7 for a configuration that no ADD could use', ABSENT, (host) => {
  const before = host.snapshot();
  const rows: readonly (readonly [Config, RegExp])[] = [
    [{ bridge: 'a/b' }, /"bridge"/],
    [{ mtu: 1 }, /"mtu"/],
    [{ mode: 'overlay' }, /"mode"/],
    [{ ipam: { type: 'nowhere' } }, /"nowhere".*CNI_PATH/],
    [{ ipam: host.hostLocal(['10.77.0.1/24']) }, /"ipam\.ranges\[0\]\[0\]\.subnet"/],
    [{ ipam: host.hostLocal(['10.77.0.0/24'], { routes: [{ dst: 'x' }] }) }, /"ipam\.routes\[0\]\.dst"/],
    [{ ipam: host.hostLocal(['10.77.0.0/24'], { dataDir: 'relative' }) }, /"ipam\.dataDir"/],
  ];
  for (const [overrides, pattern] of rows) mustRefuse(host, 'STATUS', { config: network(host, overrides) }, 7, pattern);
  mustBeEmpty(host.changesSince(before), 'changed');
});

test('STATUS needs neither CNI_PATH nor a container', ABSENT, (host) => {
  mustPass(host, 'STATUS', { config: network(host), env: { CNI_PATH: undefined } });
  mustPass(host, 'STATUS', { config: network(host), env: { CNI_CONTAINERID: '../', CNI_NETNS: 'x', CNI_IFNAME: ':' } });
});

for (const role of ['host-local', 'static', 'loopback'] as const) {
  test(`STATUS as ${role}`, ABSENT, (host) => {
    const fixed = { type: 'static', addresses: [{ address: '10.77.0.5/24' }] };
    const config = network(host, { type: role, ipam: role === 'static' ? fixed : host.hostLocal() });
    mustPass(host, 'STATUS', { config });
    if (role !== 'host-local') return;
    writeFileSync(`${host.dataDir}-file`, '');
    const blocked = host.hostLocal(['10.77.0.0/24'], { dataDir: `${host.dataDir}-file` });
    mustRefuse(host, 'STATUS', { config: { ...config, ipam: blocked } }, 50, /-file/);
  });
}

run();
