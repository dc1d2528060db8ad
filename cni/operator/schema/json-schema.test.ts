import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Validator } from '@cfworker/json-schema';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isObject } from '../../protocol/fields.ts';
import { checkConf } from '../validate/conf-check.ts';
import { entrySchema, type JsonSchema, listSchema } from './json-schema.ts';

const test = suite('JSON schema');
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CONFLISTS = `${ROOT}conformance/conflists`;
const OPTIONS = { env: { PODLINK_RUN_DIR: '/nonexistent/podlink' }, kernel: undefined };

type Json = Readonly<Record<string, unknown>>;

/** The faults that a schema finds in a value, each with the place. */
function faultsOf(schema: JsonSchema, value: unknown): string[] {
  const { errors } = new Validator(schema, '2020-12', false).validate(value);
  return errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
}

const errorsOf = (value: unknown) =>
  checkConf(JSON.stringify(value), undefined, OPTIONS).faults.filter(({ level }) => level === 'error');

/** The schema of a file by what is in it. */
const schemaFor = (value: Json, isStrict = false) => ('plugins' in value ? listSchema : entrySchema)({ isStrict });

/** The configurations that README shows, those of other files left out. */
function examplesOfReadme(): Json[] {
  const blocks = readFileSync(`${ROOT}README.md`, 'utf8').matchAll(/^```json\n(.*?)^```$/gms);
  return [...blocks].flatMap(([, text = '']) => {
    const value: unknown = JSON.parse(text);
    return isObject(value) && ('plugins' in value || value.type === 'podlink') ? [value] : [];
  });
}

test('the schema takes every configuration of README', () => {
  const examples = examplesOfReadme();
  assert.ok(examples.length >= 3, `${examples.length} examples`);
  for (const example of examples)
    assert.equal(faultsOf(schemaFor(example, true), example), [], JSON.stringify(example));
});

for (const file of readdirSync(CONFLISTS)) {
  const value = JSON.parse(readFileSync(`${CONFLISTS}/${file}`, 'utf8')) as Json;
  const type = 'plugins' in value ? 'podlink' : value.type;
  if (type !== 'podlink') continue;
  test(`the schema takes ${file}`, () => {
    assert.equal(errorsOf(value), []);
    assert.equal(faultsOf(schemaFor(value), value), []);
  });
}

const IPAM = { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/16' }]], dataDir: '/nonexistent/ipam' };
const list = (entry: Json, more: Json = {}): Json => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [{ type: 'podlink', ipam: IPAM, ...entry }],
  ...more,
});

const REFUSED: readonly Json[] = [
  list({ mode: 'hots' }),
  list({ isGateway: 'yes' }),
  list({ mtu: '1500' }),
  list({ mtu: 70000 }),
  list({ bridge: 'far-too-long-for-a-link' }),
  list({ vlan: 5000 }),
  list({ vlanTrunk: [{ id: 0 }] }),
  list({ allowModes: ['hst'] }),
  list({ overrides: [{ pod: 'a/b' }] }),
  list({ overrides: [{ pod: 'a', mode: 'host' }] }),
  list({ ipMasqExclude: ['10.0.0.1'] }),
  list({ ipMasqBackend: 'ebtables' }),
  list({ icc: 'no' }),
  list({ ingressRate: -1 }),
  list({ sysctl: { 'net.core.somaxconn': 5 } }),
  list({ log: 'podlink.jsonl' }),
  list({ ingressPolicy: 'isolated' }),
  list({ isolate: true }),
  list({ capabilities: { portMappings: 'yes' } }),
  list({ capabilities: { portMappings: true }, conditionsV4: ['-s'] }),
  list({ dns: { nameservers: '10.0.0.1' } }),
  list({ ipam: { ...IPAM, ranges: [[{ subnet: '10.1.0.0' }]] } }),
  list({ ipam: { ...IPAM, ranges: [[{}]] } }),
  list({ ipam: { ...IPAM, ranges: [[]] } }),
  list({ ipam: { ...IPAM, ranges: [{ subnet: '10.1.0.0/16' }] } }),
  list({ ipam: { ...IPAM, routes: [{ gw: '10.1.0.1' }] } }),
  list({ ipam: { ...IPAM, dataDir: 'here' } }),
  list({ ipam: { type: 'static', addresses: [{ gateway: '10.1.0.1' }] } }),
  list({ ipam: { ...IPAM, type: 'podlink-etcd', endpoints: ['10.0.0.1:2379'] } }),
  list({ ipam: { ...IPAM, type: 'podlink-etcd' } }),
  list({}, { name: 'a/b' }),
  list({}, { cniVersion: '2.0.0' }),
  list({}, { plugins: [] }),
  list({}, { plugins: [{}] }),
];
for (const value of REFUSED) {
  test(`the schema refuses, as ADD does, ${JSON.stringify(value).slice(55, 150)}`, () => {
    assert.ok(errorsOf(value).length > 0, 'validate refuses it');
    assert.ok(faultsOf(listSchema({ isStrict: false }), value).length > 0, 'and so does the schema');
  });
}

test('null is absent', () => {
  const value = list({ mtu: null, mode: null, vlanTrunk: null, ipam: null, dns: null, capabilities: null, log: null });
  assert.equal(errorsOf(value), []);
  assert.equal(faultsOf(listSchema({ isStrict: true }), value), []);
});

test('unknown keys are refused by a strict schema alone, and entries of other plugins by none', () => {
  const value = list({ isgatway: true });
  assert.equal(faultsOf(listSchema({ isStrict: false }), value), []);
  assert.match(faultsOf(listSchema({ isStrict: true }), value).join(), /isgatway/);
  const other = list({}, { plugins: [{ type: 'portmap', isgatway: true, mtu: 'big' }] });
  assert.equal(faultsOf(listSchema({ isStrict: true }), other), []);
});

test("flannel's delegate is an entry", () => {
  const value = (delegate: Json) => list({}, { plugins: [{ type: 'flannel', delegate }] });
  const schema = listSchema({ isStrict: false });
  assert.equal(faultsOf(schema, value({ type: 'podlink', mtu: 1450 })), []);
  assert.equal(faultsOf(schema, value({ type: 'bridge', mtu: 'big' })), []);
  assert.ok(faultsOf(schema, value({ type: 'podlink', mtu: 'big' })).length > 0);
});

test('every key of the schema explains itself', () => {
  const { properties } = entrySchema({ isStrict: false }) as { properties: Record<string, { description?: string }> };
  for (const [key, { description = '' }] of Object.entries(properties)) assert.ok(description.length > 5, key);
  assert.match(properties.isGateway?.description ?? '', /In mode bridge alone\.$/);
});

test.run();
