// `ipam nodes|release-node` with a real etcd: who has which blocks of a pool that a cluster shares, and to take them away.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { mustAdd } from '../harness/verdict.ts';

const { test, run } = cases('ipam nodes');

const URL = 'http://127.0.0.1:2379';
const PEER = 'http://127.0.0.1:2380';

interface PoolNode {
  readonly node: string;
  readonly isAlive: boolean;
  readonly blocks: readonly string[];
}

/** Run etcd in the host's namespace while `work` is done. */
async function withEtcd(host: Host, work: () => void): Promise<void> {
  host.namespace.ip('link', 'set', 'lo', 'up');
  const args = [
    ...['--data-dir', join(host.folder, 'etcd'), '--log-level', 'panic', '--logger', 'zap'],
    ...['--listen-client-urls', URL, '--advertise-client-urls', URL, '--listen-peer-urls', PEER],
    ...['--initial-advertise-peer-urls', PEER, '--initial-cluster', `default=${PEER}`],
  ];
  const etcd = spawn('nsenter', [...host.namespace.enterArgs(), 'etcd', ...args], { stdio: 'ignore' });
  const ended = once(etcd, 'exit');
  try {
    await waitForEtcd(host);
    work();
  } finally {
    etcd.kill('SIGKILL');
    await ended;
  }
}

async function waitForEtcd(host: Host): Promise<void> {
  const args = ['--endpoints', URL, 'endpoint', 'health', '--command-timeout', '500ms'];
  for (let tries = 0; host.namespace.run('etcdctl', args, { env: { ETCDCTL_API: '3' } }).code !== 0; tries++) {
    if (tries > 40) throw new Error('etcd does not get healthy');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function configOf(host: Host, node: string): Config {
  const dataDir = join(host.folder, `ipam-${node}`);
  const ipam = { type: 'podlink-etcd', endpoints: [URL], node, subnet: '10.77.0.0/24', blockSize: 28, dataDir };
  return host.config({ ipam });
}

test('ipam nodes and release-node act on what nodes have claimed', NO_COMMANDS, (host) =>
  withEtcd(host, () => {
    const config = configOf(host, 'n1');
    const dirs = ['--conf-dir', writeConfDir(host, [config])];
    const nodes = () => mustTell<{ nodes: PoolNode[] }[]>(host, ['ipam', 'nodes', ...dirs])[0]?.nodes ?? [];
    const [own, other] = [host.addContainer(), host.addContainer()];
    mustAdd(host, { config, container: own });
    mustAdd(host, { config: configOf(host, 'n2'), container: other });
    assert.equal(
      nodes().map(({ node, isAlive, blocks }) => [node, isAlive, blocks.length]),
      [
        ['n1', true, 1],
        ['n2', true, 1],
      ],
    );
    assert.match(mustSay(host, ['ipam', 'nodes', ...dirs]), /^pods +n1 \(this node\) +20.* UTC +10\.77\.0\.\d+\/28$/m);
    const list = mustSay(host, ['ipam', 'ls', ...dirs]);
    assert.match(list, /^pods +10\.77\.0\.1-10\.77\.0\.254 \(1 block of this node\) +1[3-6] +1 /m);
    assert.not.match(list, /\.podlink-/);
    assert.match(mustEnd(host, ['ipam', 'release-node', 'n2', ...dirs], 1).stderr, /it was alive at 20/);
    mustSay(host, ['ipam', 'release-node', 'n2', '--force', ...dirs]);
    assert.match(mustEnd(host, ['ipam', 'release-node', 'n1', ...dirs], 1).stdout, /^kept 10\.77\.0\./m);
    assert.is(host.invoke('DEL', { config, container: own }).code, 0);
    assert.match(mustSay(host, ['ipam', 'release-node', 'n1', ...dirs]), /^released 1 block of node "n1"/);
    assert.equal(nodes(), []);
    assert.match(mustEnd(host, ['ipam', 'release-node', 'n1', ...dirs], 1).stderr, /no node "n1" has a block/);
  }),
);

test('ipam nodes says that etcd cannot be reached', NO_COMMANDS, (host) => {
  const dirs = ['--conf-dir', writeConfDir(host, [configOf(host, 'n1')])];
  assert.match(
    mustEnd(host, ['ipam', 'nodes', ...dirs], 1).stderr,
    /http:\/\/127\.0\.0\.1:2379.*(ECONNREFUSED|ENETUNREACH)/,
  );
});

run();
