// After a reboot: /run is empty, the kernel's objects are gone, the reservations are still there. They are reclaimed when
// nobody can need them, by GC and when the pool runs dry, and never while their container may live.

import { rmSync, writeFileSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustPass, mustRefuse } from '../harness/verdict.ts';
import { enterOwnMachine, SCRATCH } from '../runtimes/own-machine.ts';

enterOwnMachine();
const { test, run } = cases('reboot');
const ABSENT: Reference = { absent: 'a way to tell one boot from another' };
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** What a /29 has for containers: six hosts without the gateway. */
const POOL = 5;

let boots = 0;

/** Let the machine seem to have been started anew: another boot ID. Only calls of this file see it. */
function startAnew(): void {
  const file = join(SCRATCH, `boot-${++boots}`);
  writeFileSync(file, `00000000-0000-4000-8000-${String(boots).padStart(12, '0')}\n`);
  mustRun('mount', ['--bind', file, BOOT_ID]);
}

/** What a reboot does to a node. */
function reboot(host: Host, containers: readonly Namespace[]): void {
  for (const container of containers) container.remove();
  host.namespace.ip('link', 'del', 'cni0');
  host.namespace.run('nft', ['flush', 'ruleset']);
  rmSync(host.runDir, { recursive: true });
  startAnew();
}

function fullPool(host: Host): { config: Config; containers: Namespace[] } {
  const config = host.config({ cniVersion: '1.1.0', isGateway: true, ipam: host.hostLocal(['10.77.0.0/29']) });
  const containers = Array.from({ length: POOL }, () => host.addContainer());
  for (const container of containers) mustAdd(host, { config, container });
  return { config, containers };
}

const reservedIn = (host: Host) => readdirSync(join(host.dataDir, 'pods')).filter((name) => name.startsWith('10.'));

test('without a reboot a full pool stays full, whatever became of /run: the containers may live', ABSENT, (host) => {
  const { config, containers } = fullPool(host);
  rmSync(host.runDir, { recursive: true });
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /no IP addresses available/);
  assert.is(reservedIn(host).length, POOL);
  for (const [i, container] of containers.entries()) assert.ok(canPing(container, '10.77.0.1'), `container ${i}`);
});

test('a pool that is full of what another boot left serves the containers of this one', ABSENT, (host) => {
  const { config, containers } = fullPool(host);
  reboot(host, containers);
  const given = new Set<string>();
  for (let i = 0; i < POOL; i++) {
    const container = host.addContainer();
    const outcome = host.invoke('ADD', { config, container });
    assert.is(outcome.code, 0, outcome.stdout);
    const { ips } = outcome.json as { ips: { address: string }[] };
    for (const { address } of ips) given.add(address);
    if (i === 0) assert.match(outcome.stderr, /Reclaimed 10\.77\.0\.\d.*before this machine was last started/);
    assert.ok(canPing(container, '10.77.0.1'));
  }
  assert.is(given.size, POOL, 'each its own address');
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /no IP addresses available/);
});

test('as long as there are others, an address of another boot is not given out', ABSENT, (host) => {
  const config = host.config({ ipam: host.hostLocal(['10.77.0.0/24']) });
  const old = host.addContainer();
  mustAdd(host, { config, container: old });
  reboot(host, [old]);
  const { ips } = mustAdd(host, { config, container: host.addContainer() });
  assert.is.not(ips?.[0]?.address, '10.77.0.2/24');
  assert.is(reservedIn(host).length, 2);
});

test(
  'GC with nothing valid frees what another boot left, and what this one has made stays while it is valid',
  ABSENT,
  (host) => {
    const { config, containers } = fullPool(host);
    reboot(host, containers);
    const alive = host.addContainer();
    mustAdd(host, { config, container: alive });
    const valid = [{ containerID: alive.name, ifname: 'eth0' }];
    mustPass(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': valid } });
    assert.is(reservedIn(host).length, 1);
    assert.ok(canPing(alive, '10.77.0.1'));
  },
);

test('a container that is started again under its old ID is attached, without a DEL between', ABSENT, (host) => {
  const { config, containers } = fullPool(host);
  const [first] = containers;
  assert.ok(first);
  reboot(host, containers);
  const again = host.addContainer();
  mustAdd(host, { config, container: again, containerId: first.name });
  assert.ok(canPing(again, '10.77.0.1'));
  assert.is(reservedIn(host).length, POOL, 'its old address was reclaimed, or given to it');
});

test("another machine's reservations in a shared directory are not reclaimed, whatever its boot", ABSENT, (host) => {
  writeFileSync('/etc/machine-id', `${'a'.repeat(32)}\n`);
  const { config, containers } = fullPool(host);
  writeFileSync('/etc/machine-id', `${'b'.repeat(32)}\n`);
  reboot(host, containers);
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /no IP addresses available/);
  assert.is(reservedIn(host).length, POOL);
});

test('DEL after a reboot, without record or namespace, frees the address', ABSENT, (host) => {
  const { config, containers } = fullPool(host);
  reboot(host, containers);
  for (const { name } of containers) mustPass(host, 'DEL', { config, containerId: name, netns: '' });
  assert.is(reservedIn(host).length, 0);
});

run();
