// `gc`: what belongs to nobody any more goes, what may live stays. Unlike CNI's GC it is told by nobody what is valid.

import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { elementOwnersOf } from '../harness/nftables.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { addPod, checkPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { linksOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('gc command');

interface Collected {
  readonly kind: string;
  readonly what: string;
  readonly outcome: string;
}

interface Node {
  readonly pods: readonly [Pod, Pod];
  readonly dirs: readonly string[];
}

function node(host: Host): Node {
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const dirs = ['--conf-dir', writeConfDir(host, [config]), '--data-dir', host.dataDir];
  return { pods: [addPod(host, config), addPod(host, config)], dirs };
}

function reservations(host: Host): string[] {
  return readdirSync(`${host.dataDir}/pods`)
    .filter((name) => /^[\d.]+$/.test(name))
    .sort();
}

function records(host: Host): string[] {
  return readdirSync(`${host.runDir}/attachments/pods`).sort();
}

/** The kernel takes a veth pair away some time after the namespace of its end. */
async function waitForLinkGone(host: Host, name: string): Promise<void> {
  for (let tries = 0; linksOf(host.namespace).some(({ ifname }) => ifname === name); tries++) {
    if (tries > 200) throw new Error(`${name} is still there`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('gc finds nothing among containers that live', NO_COMMANDS, (host) => {
  const { dirs } = node(host);
  const before = host.snapshot();
  assert.is(mustSay(host, ['gc', ...dirs]), '0 stale objects removed\n');
  mustBeEmpty(host.changesSince(before), 'changed');
});

test(
  'gc removes the attachment of a namespace that is gone, and --dry-run only tells of it',
  NO_COMMANDS,
  async (host) => {
    const { pods, dirs } = node(host);
    const [stale, living] = pods;
    const { ifname } = hostEndOf(host, stale);
    stale.namespace.remove();
    await waitForLinkGone(host, ifname);
    const before = host.snapshot();
    const text = mustEnd(host, ['gc', '--dry-run', ...dirs], 1).stdout;
    assert.match(text, new RegExp(`^stale {2}interface "eth0" of container "${stale.namespace.name}"`, 'm'));
    assert.match(text, /^1 stale object, nothing was changed$/m);
    mustBeEmpty(host.changesSince(before), 'changed by --dry-run');
    assert.match(mustSay(host, ['gc', ...dirs]), /^1 stale object removed$/m);
    assert.equal(records(host), [`${living.namespace.name}.eth0.json`]);
    assert.equal(reservations(host), [living.ipv4]);
    assert.equal(elementOwnersOf(host.namespace), [`pods/${living.namespace.name}/eth0`]);
    checkPod(host, living);
    assert.equal(mustTell(host, ['gc', ...dirs]), []);
    assert.equal(mustTell(host, ['gc', '--dry-run', ...dirs]), [], 'nothing is left, and the exit status is 0');
  },
);

test('gc keeps a container whose path is gone while something still runs in it', NO_COMMANDS, async (host) => {
  const { pods, dirs } = node(host);
  const [hidden] = pods;
  const { ifname } = hostEndOf(host, hidden);
  const child = spawn('nsenter', [...hidden.namespace.enterArgs(), 'sleep', '60'], { stdio: 'ignore' });
  try {
    await once(child, 'spawn');
    await waitForProcessIn(hidden);
    hidden.namespace.remove();
    const before = host.snapshot();
    const [kept, ...others] = mustTell<(Collected & { reason: string })[]>(host, ['gc', ...dirs]);
    assert.equal([kept?.outcome, others], ['kept', []]);
    assert.match(kept?.reason ?? '', new RegExp(`its interface ${ifname} on the host is there`));
    assert.match(
      kept?.reason ?? '',
      /process \d+ runs in its namespace: have the runtime run DEL, or end that process$/,
    );
    assert.match(mustSay(host, ['gc', ...dirs]), /^0 stale objects removed, 1 kept$/m);
    mustBeEmpty(host.changesSince(before), 'changed');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await waitForLinkGone(host, ifname);
  assert.equal(
    mustTell<Collected[]>(host, ['gc', ...dirs]).map(({ outcome }) => outcome),
    ['removed'],
  );
});

async function waitForProcessIn({ namespace }: Pod): Promise<void> {
  for (let tries = 0; namespace.mustRun('ip', ['netns', 'pids', namespace.name]).trim() === ''; tries++) {
    if (tries > 200) throw new Error('the process has not entered the namespace');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test(
  'gc removes what an ADD has left that did not come to its end, once that cannot run any more',
  NO_COMMANDS,
  (host) => {
    const { pods, dirs } = node(host);
    const [stopped, living] = pods;
    const path = `${host.runDir}/attachments/pods/${stopped.namespace.name}.eth0.json`;
    const unfinished = (created: Date) =>
      writeFileSync(
        path,
        JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), state: 'adding', created: created.toISOString() }),
      );
    unfinished(new Date());
    assert.equal(mustTell(host, ['gc', ...dirs]), [], 'it may still run');
    unfinished(new Date(Date.now() - 120_000));
    const [removed] = mustTell<Collected[]>(host, ['gc', ...dirs]);
    assert.equal([removed?.kind, removed?.outcome], ['attachment', 'removed']);
    assert.equal(reservations(host), [living.ipv4]);
    assert.equal(records(host), [`${living.namespace.name}.eth0.json`]);
    assert.is(linksOf(stopped.namespace).length, 1, 'its interface is gone too');
    checkPod(host, living);
  },
);

test(
  'gc removes elements without an owner, and keeps those of a container whose record is lost',
  NO_COMMANDS,
  (host) => {
    const { pods, dirs } = node(host);
    const [lost] = pods;
    const element = '{ 10.77.0.99 comment "pods/ghost/eth0" }';
    host.namespace.mustRun('nft', ['add', 'element', 'inet', 'podlink', 'masquerade_v4', element]);
    host.namespace.mustRun('rm', [`${host.runDir}/attachments/pods/${lost.namespace.name}.eth0.json`]);
    const collected = mustTell<Collected[]>(host, ['gc', ...dirs]);
    assert.equal(
      collected.map(({ kind, outcome }) => [kind, outcome]),
      [['elements', 'removed']],
    );
    assert.match(collected[0]?.what ?? '', /pods\/ghost\/eth0/);
    assert.equal(elementOwnersOf(host.namespace), pods.map(({ namespace }) => `pods/${namespace.name}/eth0`).sort());
    assert.ok(reservations(host).includes(lost.ipv4), 'its namespace is there: so is its address');
  },
);

test('gc removes an ifb whose attachment has neither record nor interface any more', NO_COMMANDS, async (host) => {
  const config = host.config({ name: 'limited', egressRate: 8_000_000, egressBurst: 800_000 });
  const [living, lost] = [host.addContainer('living'), host.addContainer('lost')];
  mustAdd(host, { config, container: living });
  const hostEnd = mustAdd(host, { config, container: lost }).interfaces?.[1]?.name ?? '';
  const ifbs = () => linksOf(host.namespace).filter(({ ifname }) => ifname.startsWith('ifb'));
  assert.is(ifbs().length, 2);
  host.namespace.mustRun('rm', [`${host.runDir}/attachments/limited/${lost.name}.eth0.json`]);
  lost.remove();
  await waitForLinkGone(host, hostEnd);
  const collected = mustTell<Collected[]>(host, ['gc', '--network', 'limited']);
  assert.ok(collected.some(({ kind, outcome }) => kind === 'interface' && outcome === 'removed'));
  assert.is(ifbs().length, 1);
});

test(
  'gc releases reservations of nobody, not one that may just be written, nor one of another plugin',
  NO_COMMANDS,
  (host) => {
    const { pods, dirs } = node(host);
    const dir = `${host.dataDir}/pods`;
    for (const [name, text] of [
      ['10.77.0.50', ''],
      ['10.77.0.51', ''],
      ['10.77.0.52', 'foreign\r\neth0'],
    ] as const) {
      writeFileSync(`${dir}/${name}`, text);
    }
    const old = new Date(Date.now() - 300_000);
    utimesSync(`${dir}/10.77.0.50`, old, old);
    utimesSync(`${dir}/10.77.0.52`, old, old);
    assert.match(mustSay(host, ['gc', ...dirs]), /^removed {2}address 10\.77\.0\.50 of nobody/m);
    assert.equal(reservations(host), [...pods.map(({ ipv4 }) => ipv4), '10.77.0.51', '10.77.0.52'].sort());
  },
);

test('gc of one network leaves the others alone', NO_COMMANDS, async (host) => {
  const { pods, dirs } = node(host);
  const { ifname } = hostEndOf(host, pods[0]);
  pods[0].namespace.remove();
  await waitForLinkGone(host, ifname);
  assert.equal(mustTell(host, ['gc', '--network', 'other', ...dirs]), []);
  assert.is(mustTell<Collected[]>(host, ['gc', '--network', 'pods', ...dirs]).length, 1);
});

test('gc says what it could not remove, and ends with 1', NO_COMMANDS, async (host) => {
  const { pods, dirs } = node(host);
  const [stale] = pods;
  const { ifname } = hostEndOf(host, stale);
  stale.namespace.remove();
  await waitForLinkGone(host, ifname);
  const lock = `${host.runDir}/attachments/pods/${stale.namespace.name}.eth0.lock`;
  const holder = spawn('flock', [lock, 'sleep', '30'], { stdio: 'ignore', detached: true });
  try {
    await once(holder, 'spawn');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.match(mustEnd(host, ['gc', ...dirs], 1).stdout, /; another call is busy with it$/m);
  } finally {
    process.kill(-(holder.pid ?? 0), 'SIGKILL');
    await once(holder, 'exit');
  }
  assert.match(mustSay(host, ['gc', ...dirs]), /^1 stale object removed$/m);
});

run();
