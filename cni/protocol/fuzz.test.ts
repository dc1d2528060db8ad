// Whatever comes in, only CniError and FieldError come out: a TypeError here would be a crash on a node.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs } from './args.ts';
import { type NetworkConfig, parseNetworkConfig } from './config.ts';
import { CniError, ERR_INTERNAL, formatError, toCniError } from './errors.ts';
import { FieldError } from './fields.ts';
import { anyJsonValue, mutations, seededRandom } from './testing/mutation.ts';
import { type Environment, readRequest } from './request.ts';
import { decodeResult, encodeResult } from './result/result-codec.ts';
import { SUPPORTED_VERSIONS } from './version.ts';

const test = suite('fuzz');

const RESULT = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'cni0' }, { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1450, sandbox: '/ns', pciID: '0' }],
  ips: [{ address: '10.22.0.5/16', gateway: '10.22.0.1', interface: 1, version: '4' }, { address: 'fd00::5/64' }],
  routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.1', mtu: 1400, scope: 0 }],
  ip4: { ip: '10.22.0.5/16', gateway: '10.22.0.1', routes: [{ dst: '0.0.0.0/0' }] },
  dns: { nameservers: ['10.22.0.1'], domain: 'a', search: ['b'], options: [] },
};
const CONFIG = {
  cniVersion: '1.1.0',
  name: 'net',
  type: 'podlink',
  args: { cni: { ips: ['10.0.0.1'] } },
  runtimeConfig: { mac: '02:00:00:00:00:02' },
  dns: RESULT.dns,
  prevResult: RESULT,
  'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
};

/** Ask a configuration for everything it has. */
const ACCESSORS: readonly ((config: NetworkConfig) => unknown)[] = [
  (config) => config.type,
  (config) => config.runtimeConfig,
  (config) => config.argsCni,
  (config) => config.dns,
  (config) => config.requestedDns,
  (config) => config.prevResult(),
  (config) => config.validAttachments(),
];

/** Whether the call returns. Anything thrown but a CniError or FieldError with a message goes through. */
function isAccepted(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (!(error instanceof CniError || error instanceof FieldError) || error.message === '') throw error;
    return false;
  }
}

/** A deep copy in which some values are replaced by others of any type. */
function withWrongTypes(value: unknown, random: () => number, rate: number): unknown {
  if (random() < rate) return anyJsonValue(random);
  if (Array.isArray(value)) return value.map((item) => withWrongTypes(item, random, rate));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withWrongTypes(item, random, rate)]));
}

test('parseNetworkConfig() meets 5000 mutated texts with CniError or FieldError only', () => {
  const text = JSON.stringify(CONFIG);
  let accepted = 0;
  let refused = 0;
  for (const mutated of mutations(text, 5000, 1)) {
    let config: NetworkConfig | undefined;
    isAccepted(() => {
      config = parseNetworkConfig(mutated);
    })
      ? accepted++
      : refused++;
    for (const access of config ? ACCESSORS : []) isAccepted(() => config && access(config));
  }
  assert.ok(accepted > 500 && refused > 500, `${accepted} accepted, ${refused} refused`);
});

test('a configuration with wrong types is met with CniError or FieldError only', () => {
  const random = seededRandom(2);
  const outcomes = { accepted: 0, refused: 0 };
  for (let i = 0; i < 5000; i++) {
    const config = withWrongTypes(CONFIG, random, 0.03);
    const text = JSON.stringify(config) ?? 'null';
    for (const access of ACCESSORS)
      outcomes[isAccepted(() => access(parseNetworkConfig(text))) ? 'accepted' : 'refused']++;
  }
  assert.ok(outcomes.accepted > 1000 && outcomes.refused > 1000, JSON.stringify(outcomes));
});

test('decodeResult() with wrong types throws CniError or FieldError only, and what it accepts can be encoded and read again', () => {
  const random = seededRandom(3);
  const outcomes = { accepted: 0, refused: 0 };
  for (let i = 0; i < 5000; i++) {
    const version = SUPPORTED_VERSIONS[i % SUPPORTED_VERSIONS.length] ?? '1.1.0';
    const value = withWrongTypes({ ...RESULT, cniVersion: version }, random, 0.03);
    const accepted = isAccepted(() => {
      const result = decodeResult(value, version);
      assert.equal(decodeResult(JSON.parse(encodeResult(result, '1.1.0')), '1.1.0'), result);
    });
    outcomes[accepted ? 'accepted' : 'refused']++;
  }
  assert.ok(outcomes.accepted > 500 && outcomes.refused > 500, JSON.stringify(outcomes));
});

/** What a runtime sets, to be broken. */
const ENVIRONMENT = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/c1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
  CNI_PATH: '/opt/cni/bin:/usr/lib/cni',
  CNI_NETNS_OVERRIDE: 'true',
};
const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION', 'add', '__proto__', 'constructor', 'toString'];

/** Values of an environment variable, each one broken in its own way. */
function* brokenValues(value: string, count: number, seed: number): Generator<string | undefined> {
  yield undefined;
  yield '';
  yield '\0';
  yield '..';
  yield '/'.repeat(5000);
  yield 'x'.repeat(200_000);
  yield '\ud800';
  yield* mutations(value, count, seed);
}

/** Read a request as the process does. Returns whether it is accepted; what refuses it must be an answer to a runtime. */
function isAnswered(environment: Environment, stdin: string): boolean {
  try {
    readRequest(environment, () => stdin);
    return true;
  } catch (error) {
    const answer = toCniError(error);
    assert.is.not(answer.code, ERR_INTERNAL, `${JSON.stringify(environment)}: ${answer.message}`);
    assert.ok(answer.code > 0 && answer.message !== '', 'every refusal has a code and says something');
    JSON.parse(formatError(answer, answer.cniVersion ?? '1.1.0'));
    return false;
  }
}

test('readRequest() answers every broken environment with a code', () => {
  const stdin = JSON.stringify(CONFIG);
  const outcomes = { accepted: 0, refused: 0 };
  let seed = 10;
  for (const [name, value] of Object.entries(ENVIRONMENT)) {
    for (const broken of brokenValues(value, 200, seed++)) {
      for (const command of COMMANDS) {
        const environment = { ...ENVIRONMENT, CNI_COMMAND: command, [name]: broken };
        outcomes[isAnswered(environment, stdin) ? 'accepted' : 'refused']++;
      }
    }
  }
  assert.ok(outcomes.accepted > 1000 && outcomes.refused > 1000, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${outcomes.accepted + outcomes.refused} environments`);
});

test('readRequest() answers every broken stdin with a code', () => {
  const outcomes = { accepted: 0, refused: 0 };
  const random = seededRandom(20);
  const text = JSON.stringify(CONFIG);
  const deep = (pair: string) => `{"name":"n","x":${pair.charAt(0).repeat(100_000)}${pair.charAt(1).repeat(100_000)}}`;
  const odd = ['', ' ', '\ufeff{}', 'null', '[]', '"x"', '{', '{}', '\0', '1', deep('[]'), '{"a":'.repeat(100_000)];
  const bytes = Array.from({ length: 500 }, () =>
    Buffer.from(Array.from({ length: 60 }, () => Math.floor(random() * 256))).toString('utf8'),
  );
  for (const stdin of [...odd, ...bytes, ...mutations(text, 3000, 21)]) {
    for (const command of ['ADD', 'DEL', 'GC', 'VERSION']) {
      outcomes[isAnswered({ ...ENVIRONMENT, CNI_COMMAND: command }, stdin) ? 'accepted' : 'refused']++;
    }
  }
  assert.ok(outcomes.accepted > 1000 && outcomes.refused > 1000, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${outcomes.accepted + outcomes.refused} standard inputs`);
});

test('parseCniArgs() throws nothing, and keeps what it reads', () => {
  let tried = 0;
  for (const broken of [...brokenValues(ENVIRONMENT.CNI_ARGS, 5000, 30)]) {
    if (broken === undefined) continue;
    tried++;
    const args = parseCniArgs(broken);
    const again = Array.from(args, ([name, value]) => `${name}=${value}`).join(';');
    assert.equal(parseCniArgs(again), args);
  }
  console.log(`\ninputs tried: ${tried} CNI_ARGS`);
});

test.run();
