import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../protocol/fields.ts';
import { checkEntry } from './entry-check.ts';
import { CAPABILITIES, ENTRY_KEYS, findUnknownKeys, IPAM_KEYS, type KeyTree } from './known-keys.ts';

const test = suite('known keys');
const RUN = { PODLINK_RUN_DIR: '/nonexistent/podlink' };
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Configurations that between them lead the parsers to every key. */
const HOST_LOCAL = {
  type: 'host-local',
  dataDir: '/nonexistent/ipam',
  ranges: [[{ subnet: '10.1.0.0/16' }]],
  routes: [{ dst: '10.2.0.0/16', gw: '10.1.0.1' }],
};
const BASE = { name: 'pods', cniVersion: '1.1.0', type: 'podlink' };
const CONFIGS: readonly Readonly<Record<string, unknown>>[] = [
  {
    ...BASE,
    ipMasq: true,
    icc: false,
    internal: true,
    macspoofchk: true,
    isDefaultGateway: true,
    vlanTrunk: [{ minID: 1, maxID: 2 }],
    overrides: [{ pod: 'a/b', mode: 'host' }],
    ingressRate: 1_000_000,
    sysctl: { 'net.core.somaxconn': '5' },
    dns: { nameservers: ['10.0.0.1'] },
    ipam: HOST_LOCAL,
    runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }], bandwidth: { ingressRate: 8000 } },
  },
  { ...BASE, mode: 'container', target: 'netns:/run/netns/x', targetPaths: ['/run/*'] },
  { ...BASE, ipam: { type: 'static', addresses: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }], dns: {} } },
  { ...BASE, ipam: { type: 'host-local', subnet: '10.1.0.0/16' } },
  { ...BASE, ipam: { ...HOST_LOCAL, type: 'podlink-etcd', endpoints: ['http://127.0.0.1:2379'] } },
];

/** Run `work` and note every key that any Fields was asked for, by its path with the indexes of lists left out. */
function keysAskedFor(work: () => void): Set<string> {
  const asked = new Set<string>();
  const { get, has } = Fields.prototype;
  const note = (fields: Fields, key: string) => asked.add(fields.at(key).replace(/\[\d+\]/g, ''));
  Fields.prototype.get = function (this: Fields, key) {
    note(this, key);
    return get.call(this, key);
  };
  Fields.prototype.has = function (this: Fields, key) {
    note(this, key);
    return has.call(this, key);
  };
  try {
    work();
  } finally {
    Object.assign(Fields.prototype, { get, has });
  }
  return asked;
}

function isKnown(path: string, tree: KeyTree): boolean {
  const name = Object.keys(tree).find((key) => path === key || path.startsWith(`${key}.`));
  if (name === undefined) return false;
  const subtree = tree[name];
  return path === name || subtree === undefined || isKnown(path.slice(name.length + 1), subtree);
}

test('ENTRY_KEYS and IPAM_KEYS hold every key that the parsers ask for', () => {
  const missing = CONFIGS.flatMap((config) => {
    const asked = keysAskedFor(() => checkEntry(config, RUN));
    const ipam = config.ipam as { type: string } | undefined;
    const ipamTree = IPAM_KEYS.get(ipam?.type ?? '') ?? {};
    return [...asked].filter((path) => {
      // Of the runtime, or of a list that was handed over by mistake.
      if (/^(runtimeConfig|args|capabilities|plugins)\b/.test(path)) return false;
      return path.startsWith('ipam.') ? !isKnown(path.slice(5), ipamTree) : !isKnown(path, ENTRY_KEYS);
    });
  });
  assert.equal([...new Set(missing)], []);
});

test('the configurations of this test lead the parsers to most keys', () => {
  const asked = new Set(CONFIGS.flatMap((config) => [...keysAskedFor(() => checkEntry(config, RUN))]));
  for (const key of ['vlanTrunk.maxID', 'ipam.ranges.rangeEnd', 'ipam.addresses.gateway', 'ipam.routes.scope', 'snat'])
    assert.ok(asked.has(key), key);
  assert.ok(asked.size > 80, `only ${asked.size} keys were asked for`);
});

/** All production code but the list itself. */
function sources(): string {
  return ['cni', 'ipam']
    .flatMap((folder) => readdirSync(`${ROOT}${folder}`, { recursive: true, withFileTypes: true }))
    .filter(({ name }) => name.endsWith('.ts') && !name.endsWith('.test.ts') && name !== 'known-keys.ts')
    .filter(({ parentPath }) => !parentPath.includes('operator'))
    .map(({ parentPath, name }) => readFileSync(`${parentPath}/${name}`, 'utf8'))
    .join('\n');
}

test('ENTRY_KEYS, IPAM_KEYS and CAPABILITIES hold nothing that no parser knows', () => {
  const code = sources();
  const namesOf = (tree: KeyTree): string[] =>
    Object.entries(tree).flatMap(([key, below]) => [key, ...(below ? namesOf(below) : [])]);
  const names = new Set([ENTRY_KEYS, ...IPAM_KEYS.values()].flatMap(namesOf));
  // `capabilities` is the runtimes' to read; directions are put together from two words.
  const elsewhere = ['capabilities'];
  const unknown = [...names, ...CAPABILITIES].filter(
    (name) => !elsewhere.includes(name) && !new RegExp(`['".]${name.replaceAll('.', '\\.')}\\b`).test(code),
  );
  assert.equal(unknown, []);
});

test('findUnknownKeys() matches without regard to case, looks into lists and leaves foreign sections alone', () => {
  const value = {
    BRIDGE: 'x',
    vlanTrunk: [{ id: 1 }, { ids: 2 }],
    args: { any: 1 },
    ipam: { anything: 1 },
    overrides: [{ pod: 'a/b', moed: 'host' }],
    bridg: 1,
  };
  assert.equal(
    findUnknownKeys(value, ENTRY_KEYS).map(({ path, key }) => [path, key]),
    [
      ['vlanTrunk[1].ids', 'ids'],
      ['overrides[0].moed', 'moed'],
      ['bridg', 'bridg'],
    ],
  );
});

test.run();
