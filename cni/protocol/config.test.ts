import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseNetworkConfig } from './config.ts';
import { CniError, toCniError } from './errors.ts';
import { SUPPORTED_VERSIONS } from './version.ts';

const test = suite('config');

const BASE = { cniVersion: '1.1.0', name: 'net', type: 'podlink' };
const parse = (keys: object) => parseNetworkConfig(JSON.stringify({ ...BASE, ...keys }));

/** What the call throws, in CNI's terms, as `CODE MESSAGE`; undefined when it does not throw. */
function refusal(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    const { code, message } = toCniError(error);
    return `${code} ${message}`;
  }
}

test('parseNetworkConfig() reads a minimal configuration', () => {
  const config = parse({});
  assert.is(config.cniVersion, '1.1.0');
  assert.is(config.name, 'net');
  assert.is(config.type, 'podlink');
  assert.equal(config.runtimeConfig.raw, {});
  assert.equal(config.argsCni.raw, {});
  assert.is(config.dns, undefined);
  assert.is(config.prevResult(), undefined);
  assert.is(config.validAttachments(), undefined);
});

test('parseNetworkConfig() matches keys in any case, the last of two winning', () => {
  const config = parseNetworkConfig(
    '{"NAME":"first","Name":"net","CNIVersion":"0.4.0","Type":"t","RuntimeConfig":{"Mac":"m"},"ARGS":{"CNI":{"ips":[]}}}',
  );
  assert.is(config.name, 'net');
  assert.is(config.cniVersion, '0.4.0');
  assert.is(config.type, 't');
  assert.is(config.runtimeConfig.string('mac'), 'm');
  assert.equal(config.argsCni.list('ips'), []);
});

test('parseNetworkConfig() reads a missing, null or empty cniVersion as 0.1.0, and a missing type as none', () => {
  for (const text of ['{"name":"n"}', '{"name":"n","cniVersion":null}', '{"name":"n","cniVersion":"","type":null}']) {
    assert.is(parseNetworkConfig(text).cniVersion, '0.1.0');
    assert.is(parseNetworkConfig(text).type, '');
  }
});

test('parseNetworkConfig() takes any cniVersion: who supports it is decided later', () => {
  assert.is(parse({ cniVersion: '9.9' }).cniVersion, '9.9');
});

const REFUSED: readonly (readonly [stdin: string, expected: RegExp])[] = [
  ['', /^6 error unmarshall network config: unexpected end of JSON input$/],
  ['{"name":"n"} trailing', /^6 .*unexpected "t", expected nothing after .*line 1, column 14$/],
  ['\uFEFF{"name":"n"}', /^6 .*byte order mark/],
  ['{"name":"n",\n"mtu": 15OO}', /^6 .*at line 2, column 8$/],
  [`{"name":"n","a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /^6 .*nested deeper than 256 levels$/],
  ['null', /^6 .*must be a JSON object, is null$/],
  ['[]', /^6 .*must be a JSON object, is \[\]$/],
  ['"text"', /^6 .*must be a JSON object, is "text"$/],
  ['{}', /^7 missing network name$/],
  ['{"name":null}', /^7 missing network name$/],
  ['{"name":""}', /^7 missing network name$/],
  ['{"name":5}', /^6 error unmarshall network config: Invalid "name": must be a string, is 5$/],
  ['{"name":"a b"}', /^7 invalid characters found in network name$/],
  ['{"name":"../x"}', /^7 invalid characters found in network name$/],
  ['{"name":"n","cniVersion":1}', /^6 decoding version from network config: .*"cniVersion": must be a string, is 1$/],
  ['{"name":"n","cniVersion":["1.0.0"]}', /^6 decoding version from network config: /],
];
for (const [stdin, expected] of REFUSED) {
  test(`parseNetworkConfig() refuses ${stdin.slice(0, 40)}`, () => {
    assert.match(refusal(() => parseNetworkConfig(stdin)) ?? 'accepted', expected);
  });
}

test('what a verb does not ask for does not fail it', () => {
  const config = parse({ runtimeConfig: [], args: 1, dns: 'x', prevResult: 'x', 'cni.dev/valid-attachments': 1 });
  assert.is(config.name, 'net');
  assert.match(refusal(() => config.runtimeConfig) ?? '', /^7 Invalid "runtimeConfig": must be an object, is \[\]$/);
  assert.match(refusal(() => config.argsCni) ?? '', /^7 Invalid "args": must be an object/);
  assert.match(refusal(() => config.dns) ?? '', /^7 Invalid "dns": must be an object/);
  assert.match(refusal(() => config.prevResult()) ?? '', /^7 could not parse prevResult: Invalid "prevResult"/);
  assert.match(
    refusal(() => config.validAttachments()) ?? '',
    /^7 Invalid "cni\.dev\/valid-attachments": must be a list/,
  );
});

test('errors about keys of absent objects name their path', () => {
  assert.is(parse({}).runtimeConfig.at('mac'), 'runtimeConfig.mac');
  assert.is(parse({ args: { cni: {} } }).argsCni.at('ips'), 'args.cni.ips');
  assert.is(parse({}).argsCni.at('ips'), 'args.cni.ips');
});

test('dns is decoded', () => {
  assert.equal(parse({ dns: { nameservers: ['1.1.1.1'], search: [] } }).dns, { nameservers: ['1.1.1.1'] });
  assert.equal(parse({ dns: {} }).dns, {});
});

test('the capability dns is decoded by itself, and an empty list in it is none', () => {
  const runtimeConfig = { dns: { servers: ['10.96.0.10', 'fd00::a'], searches: ['svc.local'], options: ['ndots:5'] } };
  assert.equal(parse({ dns: { domain: 'a' }, runtimeConfig }).requestedDns, {
    nameservers: ['10.96.0.10', 'fd00::a'],
    search: ['svc.local'],
    options: ['ndots:5'],
  });
  assert.equal(parse({ runtimeConfig: { dns: { servers: ['9.9.9.9'], searches: [] } } }).requestedDns, {
    nameservers: ['9.9.9.9'],
  });
  assert.equal(parse({ runtimeConfig: { dns: {} } }).requestedDns, {});
  assert.is(parse({ dns: { domain: 'a' }, runtimeConfig: { dns: null } }).requestedDns, undefined);
});

for (const [dns, problem] of [
  ['x', 'Invalid "runtimeConfig.dns": must be an object, is "x"'],
  [{ servers: '1.1.1.1' }, 'Invalid "runtimeConfig.dns.servers": must be a list, is "1.1.1.1"'],
  [{ searches: [1] }, 'Invalid "runtimeConfig.dns.searches[0]": must be a string, is 1'],
  [{ options: [['ndots:5']] }, 'Invalid "runtimeConfig.dns.options[0]": must be a string, is ["ndots:5"]'],
] as const) {
  test(`dns of the runtime is refused: ${problem}`, () => {
    assert.is(
      refusal(() => parse({ runtimeConfig: { dns } }).requestedDns),
      `7 ${problem}`,
    );
  });
}

for (const cniVersion of SUPPORTED_VERSIONS) {
  test(`prevResult() without a cniVersion is read as ${cniVersion}, the configuration's`, () => {
    const isOld = cniVersion === '0.1.0' || cniVersion === '0.2.0';
    const prevResult = isOld ? { ip4: { ip: '10.0.0.2/24' } } : { ips: [{ version: '4', address: '10.0.0.2/24' }] };
    assert.equal(parse({ cniVersion, prevResult }).prevResult()?.ips, [{ address: '10.0.0.2/24' }]);
  });
}

test('prevResult() may be of another version, empty or null', () => {
  const old = { cniVersion: '0.2.0', ip4: { ip: '10.0.0.2/24' } };
  assert.equal(parse({ prevResult: old }).prevResult()?.ips, [{ address: '10.0.0.2/24' }]);
  assert.equal(parse({ prevResult: {} }).prevResult(), { interfaces: [], ips: [], routes: [], dns: {} });
  assert.is(parse({ prevResult: null }).prevResult(), undefined);
});

test('prevResult() names the key that is wrong', () => {
  const config = parse({ prevResult: { ips: [{ address: '10.0.0.2' }] } });
  try {
    config.prevResult();
    assert.unreachable();
  } catch (error) {
    assert.instance(error, CniError);
    assert.match(
      String(error),
      /could not parse prevResult: Invalid "prevResult\.ips\[0\]\.address": must be an address/,
    );
  }
  assert.match(refusal(() => parse({ prevResult: { cniVersion: '7.0.0' } }).prevResult()) ?? '', /^7 .*"7\.0\.0"$/);
});

const ITEM = { containerID: 'c1', ifname: 'eth0' };
const KEY = { network: 'net', containerId: 'c1', ifname: 'eth0' };
const ATTACHMENTS: readonly (readonly [title: string, keys: object, expected: unknown])[] = [
  ['absent', {}, undefined],
  ['null', { 'cni.dev/valid-attachments': null }, []],
  ['empty', { 'cni.dev/valid-attachments': [] }, []],
  ['a list', { 'cni.dev/valid-attachments': [ITEM] }, [KEY]],
  ['the older key', { 'cni.dev/attachments': [ITEM] }, [KEY]],
  ['the older key null', { 'cni.dev/attachments': null }, []],
  ['both keys', { 'cni.dev/attachments': [], 'cni.dev/valid-attachments': [ITEM] }, [KEY]],
  ['keys in another case', { 'CNI.dev/Valid-Attachments': [{ ContainerId: 'c1', IfName: 'eth0' }] }, [KEY]],
];
for (const [title, keys, expected] of ATTACHMENTS) {
  test(`validAttachments() reads ${title}`, () => assert.equal(parse(keys).validAttachments(), expected));
}

const BAD_ATTACHMENTS: readonly (readonly [value: unknown, expected: RegExp])[] = [
  [{}, /attachments": must be a list/],
  [[null], /attachments\[0\]": must be an object, is null/],
  [[ITEM, {}], /attachments\[1\]\.containerID": must be a container ID, is missing/],
  [[{ containerID: 'c1' }], /attachments\[0\]\.ifname": must be an interface name, is missing/],
  [[{ containerID: '../c', ifname: 'eth0' }], /containerID": must be a container ID, is "\.\.\/c"/],
  [[{ containerID: 'c1', ifname: 'a/b' }], /ifname": must be an interface name, is "a\/b"/],
  [[{ containerID: 5, ifname: 'eth0' }], /containerID": must be a string, is 5/],
];
for (const [value, expected] of BAD_ATTACHMENTS) {
  test(`validAttachments() refuses ${JSON.stringify(value)} with error 7`, () => {
    const text = refusal(() => parse({ 'cni.dev/valid-attachments': value }).validAttachments()) ?? 'accepted';
    assert.match(text, /^7 Invalid "cni\.dev\/valid-/);
    assert.match(text, expected);
  });
}

test.run();
