// Forty pods that share a network, half of them the host's and half of them one target's, are made and removed all at
// once. Neither shared network may change for a moment.

import * as assert from 'uvu/assert';
import { mustBeEmpty } from '../harness/verdict.ts';
import { HOST_ADDRESS, KubernetesNode, TARGET } from '../runtimes/kubernetes-node.ts';
import { enterArgsOf, NetworkWatch, type WatchReport } from '../runtimes/network-watch.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();
const SHARERS = 40;
const INTERVAL_MS = 5;
const { test, run } = runtimeCases('containerd: sharers in parallel', () => KubernetesNode.start());

function mustBeQuiet(report: WatchReport, what: string): void {
  mustBeEmpty(report.changes, `changes of ${what}, sampled`);
  mustBeEmpty(report.events, `changes of ${what}, announced by the kernel`);
}

test('40 sharers at once: lo, addresses and routes of host and target are untouched', async (node) => {
  // What stock plugins stumble over: more than 127.0.0.1 on the host's lo.
  node.host.namespace.ip('addr', 'add', '198.51.100.9/32', 'dev', 'lo');
  node.host.namespace.ip('addr', 'add', '2001:db8:9::9/128', 'dev', 'lo');
  // The kernel announces every bridge port once more when its forward delay of 15 s is over, also without STP.
  node.host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge', 'forward_delay', '0');
  const target = await node.cri.run(TARGET);
  const { pid, ip } = await node.cri.status(target);
  const server = await node.startServer(target, 8080);
  const [hostWatch, targetWatch] = await Promise.all([
    NetworkWatch.start(enterArgsOf(node.host.namespace), INTERVAL_MS),
    NetworkWatch.start(enterArgsOf(pid), INTERVAL_MS),
  ]);
  const started = performance.now();
  const handlers = Array.from({ length: SHARERS }, (_, i) => (i % 2 === 0 ? 'host' : 'container'));
  const pods = await Promise.all(handlers.map((handler, i) => node.cri.run(`sharer-${i}`, { handler })));
  const statuses = await Promise.all(pods.map((pod) => node.cri.status(pod)));
  assert.equal(
    statuses.map((status) => status.ip),
    handlers.map((handler) => (handler === 'host' ? HOST_ADDRESS : ip)),
  );
  await Promise.all(pods.map((pod) => node.cri.stopAndRemove(pod)));
  const ms = performance.now() - started;
  const [ofHost, ofTarget] = [await hostWatch.stop(), await targetWatch.stop()];
  mustBeQuiet(ofHost, 'the host');
  mustBeQuiet(ofTarget, 'the target');
  // A witness who was asleep is none: on a busy machine it may be late, but not by much.
  for (const { samples } of [ofHost, ofTarget]) assert.ok(samples > ms / INTERVAL_MS / 10, `${samples} in ${ms} ms`);
  console.log(
    `\n  ${SHARERS} sharers in ${Math.round(ms)} ms: ${ofHost.samples} samples of the host (longest gap ` +
      `${Math.round(ofHost.longestGapMs)} ms), ${ofTarget.samples} of the target, 0 changes, 0 kernel events`,
  );
  assert.is(await node.ask(server, '127.0.0.1', 8080), TARGET);
  await node.cri.stopAndRemove(target);
});

test('the watch hears of what it is there for: lo down and up again', async (node) => {
  const watch = await NetworkWatch.start(enterArgsOf(node.host.namespace), INTERVAL_MS);
  node.host.namespace.ip('link', 'set', 'lo', 'down');
  node.host.namespace.ip('link', 'set', 'lo', 'up');
  const report = await watch.stop();
  assert.ok(
    report.events.some((line) => /: lo: /.test(line)),
    report.events.join('\n'),
  );
});

run();
