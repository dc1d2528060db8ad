import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../protocol/fields.ts';
import { MODES } from '../../modes/mode-registry.ts';
import { Context } from '../../verbs/context.ts';
import { planRequest } from '../../verbs/plan.ts';
import { refuseUnservedProtection } from '../../features/firewall/unserved-protection.ts';
import { networkConfigOf } from '../../protocol/config.ts';
import { checkEntry } from '../validate/entry-check.ts';
import {
  CAPABILITIES,
  ENTRY_KEYS,
  ENTRY_SECTIONS,
  findKey,
  IPAM_SECTIONS,
  LIST_KEYS,
  type SchemaKey,
} from './key-schema.ts';

const test = suite('key schema');
const RUN = { PODLINK_RUN_DIR: '/nonexistent/podlink' };

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
    conditionsV4: [],
    runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }], bandwidth: { ingressRate: 8000 } },
  },
  { ...BASE, mode: 'container', target: 'netns:/run/netns/x', targetPaths: ['/run/*'] },
  {
    ...BASE,
    ...{ allowModes: ['container'], targetPaths: ['/run/x'] },
    args: { cni: { mode: 'container', target: 'netns:/run/x' } },
  },
  {
    ...BASE,
    ipam: {
      type: 'static',
      addresses: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: {},
    },
  },
  { ...BASE, ipam: { type: 'host-local', subnet: '10.1.0.0/16' } },
  {
    ...BASE,
    ipam: { subnet: '10.3.0.0/16', ...HOST_LOCAL, type: 'podlink-etcd', endpoints: ['http://127.0.0.1:2379'] },
  },
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

function isKnown(path: string, keys: readonly SchemaKey[]): boolean {
  const key = keys.find(({ name }) => path === name || path.startsWith(`${name}.`));
  if (!key) return false;
  return path === key.name || key.keys.length === 0 || isKnown(path.slice(key.name.length + 1), key.keys);
}

/** The keys that ADD asks a configuration for before it changes anything. */
function keysOfPlan(config: Readonly<Record<string, unknown>>): Set<string> {
  return keysAskedFor(() => {
    const parsed = networkConfigOf(config);
    refuseUnservedProtection(parsed.fields);
    const key = { network: 'pods', containerId: 'c', ifname: 'eth0' };
    const context = new Context(RUN, () => undefined);
    try {
      const { env, warn } = context;
      const input = (): string => JSON.stringify(config);
      const source = { key, config: parsed, cniArgs: new Map(), path: [], env, warn, input };
      planRequest(source, context).ipam?.prepare();
    } finally {
      context.close();
    }
  });
}

test('the schema holds every key that the parsers ask for', () => {
  const missing = CONFIGS.flatMap((config) => {
    const asked = keysAskedFor(() => checkEntry(config, RUN));
    const ipam = config.ipam as { type: string } | undefined;
    const ipamKeys = IPAM_SECTIONS.get(ipam?.type ?? '')?.keys ?? [];
    return [...asked].filter((path) => {
      // Of the runtime, or of a list that was handed over by mistake.
      if (/^(runtimeConfig|args|capabilities|plugins)\b/.test(path)) return false;
      return path.startsWith('ipam.') ? !isKnown(path.slice(5), ipamKeys) : !isKnown(path, ENTRY_KEYS);
    });
  });
  assert.equal([...new Set(missing)], []);
});

/** The paths of keys, those of lists' objects without an index. */
const pathsOf = (keys: readonly SchemaKey[], path = ''): string[] =>
  keys.flatMap(({ name, keys: below }) => [`${path}${name}`, ...pathsOf(below, `${path}${name}.`)]);

test('ADD asks for every key that the schema holds', () => {
  const plans = CONFIGS.map((config) => ({ config, asked: keysOfPlan(config) }));
  const asked = new Set(plans.flatMap((plan) => [...plan.asked]));
  // Editors read the first, runtimes the second, and ADD the third once it has a plan.
  const others = ['$schema', 'capabilities', 'prevResult'];
  assert.equal(
    pathsOf(ENTRY_KEYS).filter((path) => !asked.has(path) && !others.includes(path)),
    [],
  );
  for (const [type, { keys }] of IPAM_SECTIONS) {
    const ofType = plans.filter(({ config }) => (config.ipam as { type?: string } | undefined)?.type === type);
    const askedOfType = new Set(ofType.flatMap((plan) => [...plan.asked]));
    assert.equal(
      pathsOf(keys, 'ipam.').filter((path) => !askedOfType.has(path)),
      [],
      type,
    );
  }
});

test('every key and every capability is explained in a sentence', () => {
  const all = [
    ...ENTRY_SECTIONS.flatMap(({ keys }) => keys),
    ...[...IPAM_SECTIONS.values()].flatMap(({ keys }) => keys),
    ...LIST_KEYS,
  ];
  const sentencesOf = (keys: readonly SchemaKey[]): string[] =>
    keys.flatMap(({ note, keys: below }) => [note.about, ...sentencesOf(below)]);
  for (const about of [...sentencesOf(all), ...Object.values(CAPABILITIES).map((each) => each.about)]) {
    assert.match(about, /^["`'A-Z0-9].*[.]$/);
  }
});

test('a key of one mode has no use in another, and one of a feature in every mode that has what it needs', () => {
  const usedIn = (name: string) =>
    MODES.filter((mode) => findKey(ENTRY_KEYS, name)?.isUsedIn(mode)).map(({ name }) => name);
  assert.equal(usedIn('isGateway'), ['bridge']);
  assert.equal(usedIn('icc'), ['bridge']);
  assert.equal(usedIn('ipam'), ['bridge']);
  assert.equal(usedIn('targetPaths'), ['container']);
  assert.equal(usedIn('mac').length, MODES.length);
  assert.equal(usedIn('log').length, MODES.length);
});

test.run();
