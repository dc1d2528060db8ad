// Claims of route_localnet that outlive their attachment: see the header of route-localnet.ts.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns } from '../../kernel/netns.ts';
import { type TestNamespace, withNamespace } from '../../kernel/testing/namespaces.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import type { FeatureHost } from '../feature.ts';
import {
  claimRouteLocalnet,
  dropLocalnetClaim,
  hasRouteLocalnet,
  listLocalnetClaims,
  releaseRouteLocalnet,
  removeForsakenLocalnet,
} from './route-localnet.ts';

const test = suite('claims of route_localnet');

const [FIRST, SECOND] = ['first', 'second'].map((containerId) => ({ network: 'n', containerId, ifname: 'eth0' })) as [
  AttachmentKey,
  AttachmentKey,
];
const isIn = (...alive: readonly AttachmentKey[]) => {
  const names = alive.map(({ containerId }) => containerId);
  return ({ containerId }: AttachmentKey): boolean => names.includes(containerId);
};

interface Node {
  readonly host: FeatureHost;
  readonly index: number;
  /** Paths in the folders of the run directory. */
  files(): string[];
}

/** A host with the bridge br0. All of it runs in the host's namespace. */
function withBridge(work: (node: Node) => void): Promise<void> {
  return withNamespace((ns: TestNamespace) => {
    const runDir = mkdtempSync(join(tmpdir(), 'podlink-localnet-'));
    try {
      ns.ip('link', 'add', 'br0', 'type', 'bridge');
      const [, number = ''] = /^(\d+):/.exec(ns.ip('-o', 'link', 'show', 'br0')) ?? [];
      const files = (): string[] =>
        readdirSync(runDir, { recursive: true })
          .map(String)
          .filter((path) => path.includes('/'));
      const host: FeatureHost = { route: ns.route, runDir, warn: () => undefined };
      inNetns(ns.netns, () => work({ host, index: Number(number), files }));
    } finally {
      rmSync(runDir, { recursive: true });
    }
  });
}

test('a claim tells its owner, and goes when nobody knows him: with the last one route_localnet', () =>
  withBridge(({ host, index }) => {
    for (const key of [FIRST, SECOND, FIRST]) claimRouteLocalnet(host, 'br0', key);
    const claims = listLocalnetClaims(host);
    assert.equal(claims.map(({ owner }) => owner?.containerId).sort(), ['first', 'second']);
    assert.ok(claims.every((claim) => claim.index === index));
    const drop = (...alive: readonly AttachmentKey[]) =>
      listLocalnetClaims(host).filter((claim) => dropLocalnetClaim(host, claim, isIn(...alive)));
    assert.equal(drop(FIRST, SECOND), []);
    assert.is(drop(SECOND)[0]?.owner?.containerId, 'first');
    assert.ok(hasRouteLocalnet('br0'));
    assert.is(drop().length, 1);
    assert.not(hasRouteLocalnet('br0'));
    assert.not(existsSync(`${host.runDir}/localnet/${index}`));
  }));

test("a claim that was not completed is nobody's", () =>
  withBridge(({ host, index }) => {
    claimRouteLocalnet(host, 'br0', FIRST);
    const [name = ''] = readdirSync(`${host.runDir}/localnet/${index}`);
    const path = `${host.runDir}/localnet/${index}/${name}`;
    for (const text of ['', '{"network"', 'null', readFileSync(path, 'utf8').replace('first', 'third')]) {
      writeFileSync(path, text);
      assert.equal(listLocalnetClaims(host), [{ index, name, owner: undefined }]);
    }
    for (const claim of listLocalnetClaims(host)) dropLocalnetClaim(host, claim, isIn(FIRST));
    assert.not(hasRouteLocalnet('br0'));
  }));

test('a claim stays whose owner was added again between the look and the lock', () =>
  withBridge(({ host }) => {
    claimRouteLocalnet(host, 'br0', FIRST);
    let looks = 0;
    for (const claim of listLocalnetClaims(host)) {
      assert.not(dropLocalnetClaim(host, claim, () => ++looks > 1));
    }
    assert.is(looks, 2);
    assert.ok(hasRouteLocalnet('br0'));
  }));

test('a claim of a bridge that is gone goes as well, and so does its lock', () =>
  withBridge(({ host, index, files }) => {
    claimRouteLocalnet(host, 'br0', FIRST);
    execFileSync('ip', ['link', 'delete', 'br0']);
    removeForsakenLocalnet(host);
    assert.is(files().length, 3, "the claim is somebody's still");
    for (const claim of listLocalnetClaims(host)) dropLocalnetClaim(host, claim, isIn());
    assert.equal(files(), [`locks/localnet.${index}`]);
    removeForsakenLocalnet(host);
    assert.equal(files(), []);
  }));

test('a folder without claims goes, and the lock of a bridge that is there stays', () =>
  withBridge(({ host, index, files }) => {
    claimRouteLocalnet(host, 'br0', FIRST);
    releaseRouteLocalnet(host, FIRST);
    mkdirSync(`${host.runDir}/localnet/${index}`);
    mkdirSync(`${host.runDir}/localnet/${index + 1}`);
    removeForsakenLocalnet(host);
    assert.equal(files(), [`locks/localnet.${index}`]);
  }));

test.run();
