import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { parseBlockSizes, parseEtcdConfig } from './etcd-config.ts';
import { parseRangeSets } from '../range/range-set.ts';

const test = suite('ipam etcd-config');
const ENDPOINTS = ['https://10.0.0.1:2379', 'http://[fd00::1]:2379/'];
const directory = mkdtempSync(join(tmpdir(), 'podlink-etcd-config-'));
const file = (name: string, text: string) => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const caFile = file('ca.pem', '-----BEGIN CERTIFICATE-----\nca');
const certFile = file('cert.pem', '-----BEGIN CERTIFICATE-----\ncert');
const keyFile = file('key.pem', '-----BEGIN PRIVATE KEY-----\nkey');
const noPem = file('no.pem', 'hello');

test.after(() => rmSync(directory, { recursive: true }));

const parse = (ipam: object) => parseEtcdConfig(new Fields({ endpoints: ENDPOINTS, ...ipam }, 'ipam'));
const isFieldError =
  (path: string, pattern = /./) =>
  (error: unknown) =>
    error instanceof FieldError && error.path === path && pattern.test(error.message);

test('parseEtcdConfig() needs endpoints alone', () => {
  assert.equal(parse({}), {
    endpoints: ['https://10.0.0.1:2379', 'http://[fd00::1]:2379'],
    timeoutMs: 2000,
    tls: {},
    prefix: '/podlink',
    node: hostname(),
  });
});

test('parseEtcdConfig() reads the certificates', () => {
  const config = parse({ caFile, certFile, keyFile, node: 'n1', prefix: '/a/b', timeoutMs: 500 });
  assert.equal(config.tls, {
    ca: '-----BEGIN CERTIFICATE-----\nca',
    cert: '-----BEGIN CERTIFICATE-----\ncert',
    key: '-----BEGIN PRIVATE KEY-----\nkey',
  });
  assert.equal([config.node, config.prefix, config.timeoutMs], ['n1', '/a/b', 500]);
});

test('parseEtcdConfig() names the key that is wrong', () => {
  for (const [ipam, path, pattern] of [
    [{ endpoints: undefined }, 'ipam.endpoints', /must be a list of URLs.*missing/],
    [{ endpoints: [] }, 'ipam.endpoints', /is \[\]/],
    [{ endpoints: 'https://10.0.0.1:2379' }, 'ipam.endpoints', /must be a list/],
    [{ endpoints: ['https://a:1', 7] }, 'ipam.endpoints[1]', /must be a string/],
    [{ endpoints: ['10.0.0.1:2379'] }, 'ipam.endpoints[0]', /must be http/],
    [{ endpoints: ['ftp://10.0.0.1'] }, 'ipam.endpoints[0]', /must be http/],
    [{ endpoints: ['https://10.0.0.1:2379/v3'] }, 'ipam.endpoints[0]', /host and port alone/],
    [{ endpoints: ['https://me:secret@10.0.0.1:2379'] }, 'ipam.endpoints[0]', /host and port alone/],
    [{ timeoutMs: 99 }, 'ipam.timeoutMs', /from 100 to 60000/],
    [{ prefix: 'podlink' }, 'ipam.prefix', /slash before each/],
    [{ prefix: '/podlink/' }, 'ipam.prefix', /slash before each/],
    [{ prefix: '/a//b' }, 'ipam.prefix', /slash before each/],
    [{ node: 'a/b' }, 'ipam.node', /own name/],
    [{ node: '-' }, 'ipam.node', /own name/],
    [{ caFile: 'ca.pem' }, 'ipam.caFile', /absolute/],
    [{ caFile: '/nonexistent/ca.pem' }, 'ipam.caFile', /can be read.*ENOENT/],
    [{ caFile: noPem }, 'ipam.caFile', /PEM/],
    [{ certFile }, 'ipam.keyFile', /together with "certFile"/],
    [{ keyFile }, 'ipam.certFile', /together with "keyFile"/],
    [{ caFile, endpoints: ['http://a:1'] }, 'ipam.caFile', /none in "endpoints"/],
    [{ certFile, keyFile, endpoints: ['http://a:1'] }, 'ipam.certFile', /none in "endpoints"/],
  ] as [object, string, RegExp][]) {
    assert.throws(() => parse(ipam), isFieldError(path, pattern), JSON.stringify(ipam));
  }
});

const DUAL = [[{ subnet: '10.1.0.0/16' }], [{ subnet: 'fd00::/64' }]];

function sizes(ipam: object) {
  const fields = new Fields(ipam, 'ipam');
  return parseBlockSizes(fields, parseRangeSets({ ipam: fields, runtimeConfig: new Fields({}), cniVersion: '1.1.0' }));
}

test('parseBlockSizes() has a size for each family, never larger than a range', () => {
  assert.equal(sizes({ ranges: DUAL }), { 4: 26, 6: 122 });
  assert.equal(sizes({ ranges: DUAL, blockSize: 24, blockSizeIPv6: 120 }), { 4: 24, 6: 120 });
  assert.equal(sizes({ ranges: [[{ subnet: '10.1.0.0/28' }]] }), { 4: 28, 6: 122 });
});

test('parseBlockSizes() refuses what does not fit, and names the key', () => {
  for (const [ipam, path, pattern] of [
    [{ ranges: DUAL, blockSize: 15 }, 'ipam.blockSize', /from 16 to 32/],
    [{ ranges: DUAL, blockSize: 122 }, 'ipam.blockSize', /from 16 to 32/],
    [{ ranges: DUAL, blockSize: '26' }, 'ipam.blockSize', /whole number/],
    [{ ranges: DUAL, blockSizeIPv6: 26 }, 'ipam.blockSizeIPv6', /from 112 to 128/],
    [{ ranges: [[{ subnet: '10.1.0.0/28' }]], blockSize: 26 }, 'ipam.blockSize', /from 28 to 32.*10\.1\.0\.0\/28/],
    [{ ranges: DUAL.slice(1), blockSize: 26 }, 'ipam.blockSize', /IPv4 ranges, of which there is none/],
    [{ ranges: DUAL.slice(0, 1), blockSizeIPv6: 122 }, 'ipam.blockSizeIPv6', /IPv6 ranges/],
  ] as [object, string, RegExp][]) {
    assert.throws(() => sizes(ipam), isFieldError(path, pattern), JSON.stringify(ipam));
  }
});

test.run();
