// The reservations are the reference host-local's own files, and podlink under the names `host-local` and `static`
// serves the reference's plugins.

import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { run as runProgram } from '../harness/command.ts';
import type { Config, ErrorDocument, Result } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';
import { addressesOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';

const { test, run } = cases('IPAM interchange');
const ABSENT: Reference = { absent: 'anything to compare itself with' };

interface Call {
  readonly plugin: string;
  readonly command: 'ADD' | 'DEL' | 'CHECK';
  readonly id: string;
  readonly config: Config;
  readonly pod?: Namespace;
  readonly path?: string;
  readonly args?: string;
}

/** Run any plugin by its path. */
function call(host: Host, { plugin, command, id, config, pod, path, args }: Call): Result & Partial<ErrorDocument> {
  const { code, stdout, stderr } = runProgram('nsenter', [...host.namespace.enterArgs(), plugin], {
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: pod?.path ?? '/run/netns/none',
      CNI_IFNAME: 'eth0',
      CNI_PATH: path ?? REFERENCE_FOLDER,
      CNI_ARGS: args ?? '',
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      PODLINK_RUN_DIR: host.runDir,
    },
  });
  if (stdout === '' && code === 0) return {};
  const document = JSON.parse(stdout) as Result & Partial<ErrorDocument>;
  assert.is(code === 0, document.code === undefined, `${plugin} ${command}: ${stdout}${stderr}`);
  return document;
}

function ipamConfig(dataDir: string, more: object = {}): Config {
  const ranges = [[{ subnet: '10.77.0.0/24', rangeEnd: '10.77.0.5' }], [{ subnet: 'fd00:77::/64' }]];
  return { cniVersion: '1.0.0', name: 'pods', type: 'any', ipam: { type: 'host-local', dataDir, ranges, ...more } };
}

function filesOf(dataDir: string): Record<string, string> {
  const folder = join(dataDir, 'pods');
  return Object.fromEntries(
    readdirSync(folder)
      .toSorted()
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
}

/** A folder with podlink under the name of an IPAM plugin. */
function ownPluginFolder(host: Host, ...names: string[]): string {
  const folder = join(host.folder, 'own-bin');
  mkdirSync(folder);
  for (const name of names) symlinkSync(EXECUTABLE, join(folder, name));
  return folder;
}

const [OWN, REFERENCE] = ['own', 'reference'];

test('the same calls leave the same files, and give the same results', ABSENT, (host) => {
  const plugins = {
    [OWN]: join(ownPluginFolder(host, 'host-local'), 'host-local'),
    [REFERENCE]: `${REFERENCE_FOLDER}/host-local`,
  };
  const steps: readonly (readonly [Call['command'], string, string?])[] = [
    ['ADD', 'a'],
    ['ADD', 'b'],
    ['ADD', 'a'],
    ['DEL', 'a'],
    ['DEL', 'a'],
    ['ADD', 'c', 'IP=10.77.0.5'],
    ['ADD', 'd', 'IP=10.77.0.5'],
    ['ADD', 'e'],
    ['CHECK', 'e'],
    ['CHECK', 'nobody'],
    ['ADD', 'f'],
    ['ADD', 'g'],
    ['DEL', 'b'],
    ['ADD', 'h'],
    ['DEL', 'nobody'],
  ];
  for (const [command, id, args = ''] of steps) {
    const [own, reference] = [OWN, REFERENCE].map((side) => {
      const dataDir = join(host.folder, side ?? '');
      const config = ipamConfig(dataDir, { routes: [{ dst: '0.0.0.0/0' }] });
      const prevResult = { cniVersion: '1.0.0', interfaces: [], ips: [] };
      const answer = call(host, {
        plugin: plugins[side ?? ''] ?? '',
        command,
        id,
        args,
        config: command === 'CHECK' ? { ...config, prevResult } : config,
      });
      // The reference prints an empty "dns", which the specification lets one leave out.
      const { dns = {}, ...others } = answer;
      return { answer: answer.code === undefined ? { ...others, dns } : 'refused', files: filesOf(dataDir) };
    });
    assert.equal(own, reference, `after ${command} ${id} ${args}`);
  }
});

test('what podlink reserved the reference keeps and releases, and the other way round', ABSENT, (host) => {
  const own = join(ownPluginFolder(host, 'host-local'), 'host-local');
  const reference = `${REFERENCE_FOLDER}/host-local`;
  const config = ipamConfig(host.dataDir);
  const add = (plugin: string, id: string) => call(host, { plugin, command: 'ADD', id, config }).ips?.[0]?.address;
  assert.is(add(own, 'a'), '10.77.0.2/24');
  assert.is(add(reference, 'b'), '10.77.0.3/24');
  assert.is(add(own, 'c'), '10.77.0.4/24');
  assert.is(add(reference, 'd'), '10.77.0.5/24');
  assert.is(add(own, 'e'), undefined, 'the range is full');
  call(host, { plugin: reference, command: 'DEL', id: 'a', config });
  call(host, { plugin: own, command: 'DEL', id: 'b', config });
  const held = Object.keys(filesOf(host.dataDir)).filter((name) => name.startsWith('10.'));
  assert.equal(held, ['10.77.0.4', '10.77.0.5']);
  assert.is(add(reference, 'e'), '10.77.0.2/24');
});

/** The files of the index beside the reservations; the owners it knows are among them. */
function indexOf(dataDir: string): string[] {
  const folder = join(dataDir, '.podlink', 'pods');
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(relative(folder, entry.parentPath), entry.name))
    .sort();
}

test('the index beside the reservations follows them, whoever makes and releases them', ABSENT, (host) => {
  const own = join(ownPluginFolder(host, 'host-local'), 'host-local');
  const reference = `${REFERENCE_FOLDER}/host-local`;
  const config = ipamConfig(host.dataDir);
  const serve = (plugin: string, command: 'ADD' | 'DEL', id: string) =>
    call(host, { plugin, command, id, config }).ips?.[0]?.address;
  const owners = () => indexOf(host.dataDir).filter((name) => name.startsWith('owners/'));
  serve(own, 'ADD', 'a');
  assert.equal(owners(), ['owners/a:eth0']);
  serve(reference, 'ADD', 'b');
  serve(own, 'ADD', 'c');
  assert.equal(owners(), ['owners/a:eth0', 'owners/b:eth0', 'owners/c:eth0']);
  serve(own, 'DEL', 'b');
  assert.equal(owners(), ['owners/a:eth0', 'owners/c:eth0']);
  serve(reference, 'DEL', 'a');
  serve(own, 'DEL', 'nobody');
  assert.equal(owners(), ['owners/c:eth0']);
  serve(own, 'DEL', 'c');
  assert.equal(indexOf(host.dataDir), [], 'of nobody');
});

test('an index that is damaged or gone costs nobody an address', ABSENT, (host) => {
  const own = join(ownPluginFolder(host, 'host-local'), 'host-local');
  const config = ipamConfig(host.dataDir);
  const serve = (command: 'ADD' | 'DEL', id: string) =>
    call(host, { plugin: own, command, id, config }).ips?.[0]?.address;
  const index = join(host.dataDir, '.podlink', 'pods');
  assert.is(serve('ADD', 'a'), '10.77.0.2/24');
  rmSync(join(host.dataDir, '.podlink'), { recursive: true });
  assert.is(serve('ADD', 'b'), '10.77.0.3/24');
  for (const name of indexOf(host.dataDir)) writeFileSync(join(index, name), 'damaged');
  assert.is(serve('ADD', 'c'), '10.77.0.4/24');
  for (const name of indexOf(host.dataDir)) writeFileSync(join(index, name), '');
  for (const id of ['a', 'b', 'c']) serve('DEL', id);
  const held = Object.keys(filesOf(host.dataDir)).filter((name) => /^[\da-f.:]+$/.test(name));
  assert.equal([held, indexOf(host.dataDir)], [[], []]);
});

for (const type of ['host-local', 'static'] as const) {
  test(`as ${type} it serves the reference's bridge`, ABSENT, (host) => {
    const ipam =
      type === 'static'
        ? { type, addresses: [{ address: '10.77.0.2/24', gateway: '10.77.0.1' }], routes: [{ dst: '0.0.0.0/0' }] }
        : { ...(ipamConfig(host.dataDir).ipam as object), routes: [{ dst: '0.0.0.0/0' }] };
    const config: Config = { cniVersion: '1.0.0', name: 'pods', type: 'bridge', bridge: 'cni0', isGateway: true, ipam };
    const pod = host.addContainer('pod');
    const common = { plugin: `${REFERENCE_FOLDER}/bridge`, id: 'c1', pod, path: ownPluginFolder(host, type) };
    const result = call(host, { ...common, command: 'ADD', config });
    assert.is(result.ips?.[0]?.address, '10.77.0.2/24');
    assert.ok(addressesOf(pod, 'eth0').includes('10.77.0.2/24'));
    assert.ok(canPing(pod, '10.77.0.1'));
    const later = { ...config, prevResult: result };
    assert.equal(call(host, { ...common, command: 'CHECK', config: later }), {});
    assert.equal(call(host, { ...common, command: 'DEL', config: later }), {});
    assert.equal(addressesOf(pod, 'lo').length, 0);
    if (type === 'host-local') assert.not(Object.keys(filesOf(host.dataDir)).includes('10.77.0.2'));
  });
}

run();
