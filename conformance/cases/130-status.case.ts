// STATUS: silent when an ADD could be served now, else error 50 with the reason, or 7 for a configuration nothing could
// make work.

import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as assert from 'uvu/assert';
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

test('STATUS is 50 from statusThresholdPercent on, while ADD is still served', ABSENT, (host) => {
  // Five addresses beside the gateway's, of which three are 60 %.
  const ipam = { statusThresholdPercent: 60 };
  const config = network(host, { ipam: host.hostLocal(['10.77.0.0/29', 'fd00:77::/64'], ipam) });
  const pods = [addPod(host, config), addPod(host, config)];
  mustPass(host, 'STATUS', { config });
  pods.push(addPod(host, config));
  const reason = /3 of the 5 addresses of range set 10\.77\.0\.1-10\.77\.0\.6 .*60 %.*statusThresholdPercent/;
  mustRefuse(host, 'STATUS', { config }, 50, reason);
  mustRefuse(host, 'STATUS', { config: { ...config, type: 'host-local' } }, 50, reason);
  mustPass(host, 'STATUS', { config: network(host, { ipam: host.hostLocal(['10.77.0.0/29', 'fd00:77::/64']) }) });
  pods.push(addPod(host, config));
  for (const pod of pods.splice(0, 2)) delPod(host, pod);
  mustPass(host, 'STATUS', { config });
});

test('STATUS counts what others have reserved, and not what nobody has', ABSENT, (host) => {
  const config = network(host, { ipam: host.hostLocal(['10.77.0.0/29'], { statusThresholdPercent: 40 }) });
  const pod = addPod(host, config);
  mustPass(host, 'STATUS', { config });
  writeFileSync(`${host.dataDir}/pods/10.77.0.5`, 'somebody\r\neth0');
  mustRefuse(host, 'STATUS', { config }, 50, /2 of the 5 addresses/);
  // Left by a crash of the reference: as good as free once whoever writes it would have ended.
  const tight = network(host, { ipam: host.hostLocal(['10.77.0.0/29']) });
  for (const last of [3, 4, 6]) writeFileSync(`${host.dataDir}/pods/10.77.0.${last}`, '');
  mustRefuse(
    host,
    'STATUS',
    { config: tight },
    50,
    /no IP addresses available in range set: 10\.77\.0\.1-10\.77\.0\.6/,
  );
  const longAgo = Date.now() / 1000 - 3600;
  utimesSync(`${host.dataDir}/pods/10.77.0.4`, longAgo, longAgo);
  mustPass(host, 'STATUS', { config: tight });
  assert.is(addPod(host, tight).ipv4, '10.77.0.4');
  mustRefuse(host, 'STATUS', { config: tight }, 50, /no IP addresses available/);
  delPod(host, pod);
  mustPass(host, 'STATUS', { config: tight });
});

test('STATUS is 50 when one of several range sets is full, and leaves excluded addresses out', ABSENT, (host) => {
  const full = host.hostLocal(['fd00:77::/64', '10.77.0.0/29'], { exclude: ['10.77.0.3-10.77.0.6'] });
  const config = network(host, { ipam: full });
  mustPass(host, 'STATUS', { config });
  const pod = addPod(host, config);
  assert.is(pod.ipv4, '10.77.0.2');
  mustRefuse(host, 'STATUS', { config }, 50, /no IP addresses available in range set: 10\.77\.0\.1-10\.77\.0\.6/);
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /no IP addresses available/);
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
    ...[0, 101, 50.5, '50'].map(
      (statusThresholdPercent) =>
        [
          { ipam: host.hostLocal(['10.77.0.0/24'], { statusThresholdPercent }) },
          /"ipam\.statusThresholdPercent": must be/,
        ] as const,
    ),
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
