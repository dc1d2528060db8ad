import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs } from '../../protocol/args.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { toCniError } from '../../protocol/errors.ts';
import type { ModeRequest, Peer } from '../mode.ts';
import { parseTarget } from './target.ts';

const test = suite('target');

interface Options {
  isPodsChoice?: boolean;
  allowed?: string[];
  config?: object;
  args?: string;
  peers?: Peer[];
}

function request(target: string | undefined, options: Options = {}): ModeRequest {
  const stdin = JSON.stringify({ cniVersion: '1.0.0', name: 'pods', type: 'podlink', ...options.config });
  return {
    key: { network: 'pods', containerId: 'me', ifname: 'eth0' },
    config: parseNetworkConfig(stdin),
    cniArgs: parseCniArgs(options.args ?? 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=me'),
    hasIpam: false,
    selected: {
      mode: 'container',
      target,
      isPodsChoice: options.isPodsChoice ?? false,
      allowed: options.allowed ?? [],
    },
    findPeers: (which) => (options.peers ?? []).filter(which),
  };
}

function peer(changes: Partial<Peer> = {}): Peer {
  return {
    containerId: 'other',
    podNamespace: 'shop',
    podName: 'cart',
    netnsPath: '/proc/self/ns/net',
    isItsNetns: () => false,
    isSharer: false,
    created: '2026-01-01T00:00:00.000Z',
    ...changes,
  };
}

function failure(work: () => unknown): { code: number; message: string } {
  try {
    work();
  } catch (error) {
    return toCniError(error);
  }
  return { code: 0, message: '' };
}

const malformed = ['', 'pod:', 'pod:cart', 'pod:a/b/c', 'container:', 'netns:', 'netns:relative', 'x', 'container:me'];
for (const text of malformed) {
  test(`parseTarget() refuses ${JSON.stringify(text)}: 7 for the operator, 4 for the pod`, () => {
    assert.is(failure(() => parseTarget(request(text))).code, 7);
    assert.is(failure(() => parseTarget(request(text, { isPodsChoice: true }))).code, 4);
  });
}

test('open() takes infra when no target is given, and wants the runtime to name it', () => {
  assert.match(failure(() => parseTarget(request(undefined)).open()).message, /K8S_POD_INFRA_CONTAINER_ID/);
  const self = failure(() => parseTarget(request('infra', { args: 'K8S_POD_INFRA_CONTAINER_ID=me' })).open());
  assert.is(self.code, 7);
  assert.match(self.message, /itself/);
  assert.is(parseTarget(request(undefined, { args: 'K8S_POD_INFRA_CONTAINER_ID=other' })).text, 'infra');
});

test('open() says try again while the target is not on record', () => {
  for (const text of ['container:other', 'pod:shop/cart', 'netns:/does/not/exist']) {
    const { code, message } = failure(() => parseTarget(request(text)).open());
    assert.is(code, 11);
    assert.match(message, /not there \(yet\)/);
  }
});

test('open() says try again when the path of the target names another namespace by now', () => {
  const { code, message } = failure(() => parseTarget(request('container:other', { peers: [peer()] })).open());
  assert.is(code, 11);
  assert.match(message, /its network namespace is gone/);
});

test('open() refuses a path that is no namespace', () => {
  const dir = mkdtempSync(join(tmpdir(), 'podlink-target-'));
  try {
    writeFileSync(join(dir, 'file'), '');
    assert.is(failure(() => parseTarget(request(`netns:${dir}/file`)).open()).code, 7);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('parseTarget() lets a pod name only paths that targetPaths permits', () => {
  const permit = { isPodsChoice: true, config: { targetPaths: ['/run/netns/*'] } };
  assert.is(failure(() => parseTarget(request('netns:/run/netns/x', { isPodsChoice: true }))).code, 4);
  assert.is(failure(() => parseTarget(request('netns:/run/netns/x', permit))).code, 0);
  assert.is(failure(() => parseTarget(request('netns:/proc/1/ns/net', permit))).code, 4);
  assert.is(failure(() => parseTarget(request('netns:/run/netns/..', permit))).code, 4);
  assert.is(failure(() => parseTarget(request('netns:/run/netns/../netns/x', permit))).code, 4);
});

test('open() lets a pod share only with pods of its own Kubernetes namespace, the operator with any', () => {
  const foreign = peer({ podNamespace: 'bank' });
  const asked = failure(() => parseTarget(request('pod:bank/cart', { isPodsChoice: true, peers: [foreign] })).open());
  assert.is(asked.code, 4);
  assert.match(asked.message, /another Kubernetes namespace/);
  const byId = failure(() => parseTarget(request('container:other', { isPodsChoice: true, peers: [foreign] })).open());
  const absent = failure(() => parseTarget(request('container:other', { isPodsChoice: true })).open());
  assert.equal(byId, absent, 'whether it is there is not told');
  assert.is(byId.code, 11);
  assert.is(failure(() => parseTarget(request('pod:bank/cart', { peers: [foreign] })).open()).code, 11);
});

test('parseTarget() refuses another tenant’s pod before it looks for any', () => {
  const options = { isPodsChoice: true };
  const looking = {
    ...request('pod:bank/cart', { isPodsChoice: true }),
    findPeers: () => assert.unreachable('it looks'),
  };
  assert.is(failure(() => parseTarget(looking as never)).code, 4);
  assert.is(failure(() => parseTarget(request('pod:/cart', { ...options, args: '' }))).code, 0, 'Podman names none');
  assert.is(failure(() => parseTarget(request('pod:shop/cart', { ...options, args: '' }))).code, 4);
});

test.run();
