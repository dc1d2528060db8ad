import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from './errors.ts';
import { type Environment, readRequest, refuseMalformedArgs } from './request.ts';
import { SUPPORTED_VERSIONS } from './version.ts';

const test = suite('request');

const ADD: Environment = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/var/run/netns/a',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'K8S_POD_NAME=cart',
  CNI_PATH: '/opt/cni/bin:/usr/lib/cni',
};
const DEL: Environment = { ...ADD, CNI_COMMAND: 'DEL' };
const CHECK: Environment = { ...ADD, CNI_COMMAND: 'CHECK' };
const GC: Environment = { CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' };
const STATUS: Environment = { CNI_COMMAND: 'STATUS' };
const VERSION: Environment = { CNI_COMMAND: 'VERSION' };

const at = (cniVersion: unknown, name: unknown = 'net') => JSON.stringify({ cniVersion, name, type: 'podlink' });
const GOOD = at('1.1.0');
const ALL = 'plugin supports \\["0\\.1\\.0" .*"1\\.1\\.0"\\]';

interface Refused {
  readonly title: string;
  readonly env: Environment;
  readonly stdin?: string;
  readonly code: number;
  readonly msg: RegExp;
  readonly details?: RegExp;
  /** cniVersion of the error object, when it is known. */
  readonly cniVersion?: string;
}

const REFUSED: readonly Refused[] = [
  { title: 'no variables', env: {}, code: 4, msg: /^required env variables \[CNI_COMMAND\] missing$/ },
  { title: 'empty command', env: { ...ADD, CNI_COMMAND: '' }, code: 4, msg: /\[CNI_COMMAND\] missing$/ },
  {
    title: 'ADD with nothing',
    env: { CNI_COMMAND: 'ADD' },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\] missing$/,
  },
  {
    title: 'DEL with nothing',
    env: { CNI_COMMAND: 'DEL' },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID,CNI_IFNAME\] missing$/,
  },
  {
    title: 'CHECK with nothing',
    env: { CNI_COMMAND: 'CHECK' },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\] missing$/,
  },
  { title: 'ADD, empty ID', env: { ...ADD, CNI_CONTAINERID: '' }, code: 4, msg: /\[CNI_CONTAINERID\] missing$/ },
  { title: 'ADD, empty netns', env: { ...ADD, CNI_NETNS: '' }, code: 4, msg: /\[CNI_NETNS\] missing$/ },
  { title: 'ADD, no ifname', env: { ...ADD, CNI_IFNAME: undefined }, code: 4, msg: /\[CNI_IFNAME\] missing$/ },
  { title: 'CHECK, no netns', env: { ...CHECK, CNI_NETNS: '' }, code: 4, msg: /\[CNI_NETNS\] missing$/ },
  { title: 'DEL, no ID', env: { ...DEL, CNI_CONTAINERID: '' }, code: 4, msg: /\[CNI_CONTAINERID\] missing$/ },
  {
    title: 'bad ID before a missing ifname',
    env: { ...ADD, CNI_CONTAINERID: '../x', CNI_IFNAME: '' },
    code: 4,
    msg: /^invalid characters in containerID$/,
    details: /^\.\.\/x$/,
  },
  {
    title: 'missing ID does not hide a bad ifname',
    env: { ...ADD, CNI_CONTAINERID: '', CNI_IFNAME: 'a/b' },
    code: 4,
    msg: /^interface name contains/,
  },
  { title: 'ADD, ID with newline', env: { ...ADD, CNI_CONTAINERID: 'c1\n' }, code: 4, msg: /in containerID$/ },
  { title: 'DEL, bad ID', env: { ...DEL, CNI_CONTAINERID: '-c' }, code: 4, msg: /in containerID$/ },
  { title: 'CHECK, bad ID', env: { ...CHECK, CNI_CONTAINERID: 'ü' }, code: 4, msg: /in containerID$/ },
  { title: 'ADD, long ifname', env: { ...ADD, CNI_IFNAME: 'a'.repeat(16) }, code: 4, msg: /too long$/ },
  { title: 'ADD, ifname ..', env: { ...ADD, CNI_IFNAME: '..' }, code: 4, msg: /is \. or \.\.$/ },
  { title: 'DEL, ifname with space', env: { ...DEL, CNI_IFNAME: 'a b' }, code: 4, msg: /whitespace characters$/ },
  {
    title: 'ADD, relative netns',
    env: { ...ADD, CNI_NETNS: 'netns/a' },
    code: 4,
    msg: /^Invalid CNI_NETNS: must be an/,
  },
  { title: 'ADD, NUL in netns', env: { ...ADD, CNI_NETNS: '/a\0b' }, code: 4, msg: /NUL byte, is "\/a\\u0000b"$/ },
  { title: 'CHECK, relative netns', env: { ...CHECK, CNI_NETNS: './a' }, code: 4, msg: /^Invalid CNI_NETNS/ },
  { title: 'bad variable before bad stdin', env: { ...ADD, CNI_IFNAME: '.' }, stdin: '{', code: 4, msg: /interface/ },
  {
    title: 'ADD, empty stdin',
    env: ADD,
    stdin: '',
    code: 6,
    msg: /^error unmarshall network config: unexpected end of/,
  },
  { title: 'DEL, bad JSON', env: DEL, stdin: '{"a"', code: 6, msg: /^error unmarshall network config: / },
  { title: 'GC, bad JSON', env: GC, stdin: 'x', code: 6, msg: /^error unmarshall network config: / },
  { title: 'STATUS, list', env: STATUS, stdin: '[]', code: 6, msg: /must be a JSON object, is \[\]$/ },
  {
    title: 'ADD, no name',
    env: ADD,
    stdin: at('1.0.0', ''),
    code: 7,
    msg: /^missing network name$/,
    cniVersion: '1.0.0',
  },
  {
    title: 'ADD, bad name',
    env: ADD,
    stdin: at('0.4.0', 'a/b'),
    code: 7,
    msg: /^invalid characters found in network name$/,
    details: /^a\/b$/,
    cniVersion: '0.4.0',
  },
  { title: 'GC, bad name', env: GC, stdin: at('1.1.0', '-'), code: 7, msg: /network name$/, cniVersion: '1.1.0' },
  {
    title: 'bad name before unsupported version',
    env: ADD,
    stdin: at('9.0.0', '-'),
    code: 7,
    msg: /^invalid characters found in network name$/,
  },
  {
    title: 'unknown command',
    env: { ...ADD, CNI_COMMAND: 'UPDATE' },
    code: 4,
    msg: /^unknown CNI_COMMAND: UPDATE$/,
    cniVersion: '1.1.0',
  },
  {
    title: 'command in lower case',
    env: { ...ADD, CNI_COMMAND: 'add' },
    code: 4,
    msg: /^unknown CNI_COMMAND: add$/,
    cniVersion: '1.1.0',
  },
  {
    title: 'command toString',
    env: { CNI_COMMAND: 'toString' },
    code: 4,
    msg: /^unknown CNI_COMMAND: toString$/,
    cniVersion: '1.1.0',
  },
  {
    title: 'name before unknown command',
    env: { CNI_COMMAND: 'X' },
    stdin: '{}',
    code: 7,
    msg: /^missing network name$/,
  },
  { title: 'JSON before unknown command', env: { CNI_COMMAND: 'X' }, stdin: '', code: 6, msg: /end of JSON/ },
  { title: 'ADD, version a number', env: ADD, stdin: at(1), code: 6, msg: /^decoding version from network config: / },
  {
    title: 'ADD, unknown version',
    env: ADD,
    stdin: at('1.2.0'),
    code: 1,
    msg: /^incompatible CNI versions$/,
    details: new RegExp(`^config is "1\\.2\\.0", ${ALL}$`),
  },
  { title: 'ADD, version 1.1', env: ADD, stdin: at('1.1'), code: 1, msg: /^incompatible CNI versions$/ },
  { title: 'ADD, version x', env: ADD, stdin: at('x'), code: 1, msg: /^incompatible CNI versions$/ },
  { title: 'DEL, unknown version', env: DEL, stdin: at('0.5.0'), code: 1, msg: /^incompatible CNI versions$/ },
  { title: 'CHECK, unknown version', env: CHECK, stdin: at('0.5.0'), code: 1, msg: /^incompatible CNI versions$/ },
  { title: 'GC, version 1.1', env: GC, stdin: at('1.1'), code: 1, msg: /^incompatible CNI versions$/ },
  {
    title: 'CHECK, newer version',
    env: CHECK,
    stdin: at('1.2.0'),
    code: 1,
    msg: /^plugin version does not allow CHECK$/,
  },
  { title: 'GC, newer version', env: GC, stdin: at('2.0.0'), code: 1, msg: /^plugin version does not allow GC$/ },
  {
    title: 'STATUS, newer version',
    env: STATUS,
    stdin: at('2.0.0'),
    code: 1,
    msg: /^plugin version does not allow STATUS$/,
  },
  {
    title: 'CHECK, version x',
    env: CHECK,
    stdin: at('x'),
    code: 6,
    msg: /^invalid version "x": failed to convert major/,
  },
  { title: 'STATUS, version 1.1.0.0', env: STATUS, stdin: at('1.1.0.0'), code: 6, msg: /too many parts$/ },
  ...(['0.1.0', '0.2.0', '0.3.0', '0.3.1'] as const).map(
    (cniVersion): Refused => ({
      title: `CHECK at ${cniVersion}`,
      env: CHECK,
      stdin: at(cniVersion),
      code: 1,
      msg: /^config version does not allow CHECK$/,
      cniVersion,
    }),
  ),
  ...[GC, STATUS].flatMap((env) =>
    SUPPORTED_VERSIONS.filter((version) => version !== '1.1.0').map(
      (cniVersion): Refused => ({
        title: `${env.CNI_COMMAND} at ${cniVersion}`,
        env,
        stdin: at(cniVersion),
        code: 1,
        msg: new RegExp(`^config version does not allow ${env.CNI_COMMAND}$`),
        cniVersion,
      }),
    ),
  ),
  {
    title: 'GC without a version, which is 0.1.0',
    env: GC,
    stdin: '{"name":"net"}',
    code: 1,
    msg: /^config version does not allow GC$/,
    details: /^config is "0\.1\.0"/,
  },
  {
    title: 'version before CNI_ARGS',
    env: { ...ADD, CNI_ARGS: 'B' },
    stdin: at('3.0.0'),
    code: 1,
    msg: /^incompatible/,
  },
];

for (const { title, env, stdin = GOOD, code, msg, details = /(?:)/, cniVersion } of REFUSED) {
  test(`readRequest() refuses: ${title}`, () => {
    try {
      readRequest(env, () => stdin);
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      assert.is(error.code, code, error.message);
      assert.match(error.message, msg);
      assert.match(error.details, details);
      assert.is(error.cniVersion, cniVersion);
      return;
    }
    assert.unreachable('accepted');
  });
}

test('the table of refusals has at least sixty rows with titles of their own', () => {
  assert.ok(REFUSED.length >= 60, `${REFUSED.length} rows`);
  assert.is(new Set(REFUSED.map(({ title }) => title)).size, REFUSED.length);
});

const VERBS = { ADD, DEL, CHECK, GC, STATUS };
const SINCE: Readonly<Record<keyof typeof VERBS, number>> = { ADD: 0, DEL: 0, CHECK: 4, GC: 6, STATUS: 6 };
for (const [verb, env] of Object.entries(VERBS)) {
  for (const version of SUPPORTED_VERSIONS.slice(SINCE[verb as keyof typeof VERBS])) {
    test(`readRequest() accepts ${verb} at ${version}`, () => {
      const request = readRequest(env, () => at(version));
      assert.is(request.command, verb);
      assert.is(request.command !== 'VERSION' && request.config.cniVersion, version);
    });
  }
}

test('readRequest() hands everything over on ADD', () => {
  const request = readRequest(ADD, () => GOOD);
  if (request.command !== 'ADD') return assert.unreachable();
  const { config, args, ...rest } = request;
  assert.equal(rest, {
    command: 'ADD',
    containerId: 'c1',
    netns: '/var/run/netns/a',
    ifname: 'eth0',
    path: ['/opt/cni/bin', '/usr/lib/cni'],
    stdin: GOOD,
    malformedArg: undefined,
    netnsOverride: false,
  });
  assert.equal([...args], [['K8S_POD_NAME', 'cart']]);
  assert.is(config.name, 'net');
});

test('readRequest() does not require CNI_PATH, CNI_ARGS', () => {
  const request = readRequest({ ...ADD, CNI_PATH: undefined, CNI_ARGS: '' }, () => GOOD);
  if (request.command !== 'ADD') return assert.unreachable();
  assert.equal(request.path, []);
  assert.is(request.args.size, 0);
});

test('readRequest() leaves empty directories of CNI_PATH out', () => {
  const request = readRequest({ ...GC, CNI_PATH: ':/a::/b:' }, () => GOOD);
  assert.equal(request.command === 'GC' && request.path, ['/a', '/b']);
});

const DEL_NETNS = [undefined, '', 'dummy', '/a\0b'];
for (const CNI_NETNS of DEL_NETNS) {
  test(`readRequest() takes ${JSON.stringify(CNI_NETNS)} for no CNI_NETNS on DEL`, () => {
    const request = readRequest({ ...DEL, CNI_NETNS }, () => GOOD);
    assert.is(request.command === 'DEL' && request.netns, '');
  });
}

test('readRequest() leaves malformed CNI_ARGS to who reads them', () => {
  for (const variables of [ADD, DEL, CHECK]) {
    const request = readRequest({ ...variables, CNI_ARGS: 'A=1;B' }, () => GOOD);
    if (!('args' in request)) return assert.unreachable();
    assert.equal([...request.args], [['A', '1']]);
    assert.throws(
      () => refuseMalformedArgs(request),
      (error: unknown) =>
        error instanceof CniError && error.code === 4 && error.message === 'Invalid CNI_ARGS: "B" must be KEY=VALUE',
    );
  }
});

test('readRequest() does not look at variables the verb does not require', () => {
  const bad = { CNI_CONTAINERID: '../', CNI_NETNS: 'x', CNI_IFNAME: 'a/b', CNI_ARGS: 'x' };
  assert.is(readRequest({ ...GC, ...bad }, () => GOOD).command, 'GC');
  assert.is(readRequest({ ...STATUS, ...bad }, () => GOOD).command, 'STATUS');
  assert.is(readRequest({ ...VERSION, ...bad }, () => GOOD).command, 'VERSION');
});

for (const [CNI_NETNS_OVERRIDE, expected] of [
  ['1', true],
  ['true', true],
  ['TRUE', true],
  ['0', false],
  ['yes', false],
  ['', false],
] as const) {
  test(`readRequest() reads CNI_NETNS_OVERRIDE=${CNI_NETNS_OVERRIDE} as ${expected}`, () => {
    const request = readRequest({ ...ADD, CNI_NETNS_OVERRIDE }, () => GOOD);
    assert.is(request.command === 'ADD' && request.netnsOverride, expected);
  });
}

test('readRequest() reports stdin that cannot be read with error 5, and does not read it before the variables are good', () => {
  const fail = () => {
    throw new Error('EIO: i/o error, read');
  };
  assert.throws(
    () => readRequest(ADD, fail),
    (error: unknown) =>
      error instanceof CniError &&
      error.code === 5 &&
      error.message === 'error reading from stdin: EIO: i/o error, read',
  );
  assert.throws(
    () => readRequest({ ...ADD, CNI_IFNAME: '' }, fail),
    (error: unknown) => error instanceof CniError && error.code === 4,
  );
  assert.equal(readRequest(VERSION, fail), { command: 'VERSION', cniVersion: '1.1.0' });
});

const VERSION_ECHO: readonly (readonly [stdin: string, expected: string])[] = [
  ...SUPPORTED_VERSIONS.map((version) => [`{"cniVersion":"${version}"}`, version] as const),
  ['', '1.1.0'],
  ['{', '1.1.0'],
  ['null', '1.1.0'],
  ['{}', '1.1.0'],
  ['{"cniVersion":""}', '1.1.0'],
  ['{"cniVersion":4}', '1.1.0'],
  ['{"cniVersion":"2.0.0"}', '1.1.0'],
];
for (const [stdin, cniVersion] of VERSION_ECHO) {
  test(`readRequest() answers VERSION with stdin '${stdin}' in ${cniVersion}`, () => {
    assert.equal(
      readRequest(VERSION, () => stdin),
      { command: 'VERSION', cniVersion },
    );
  });
}

test.run();
