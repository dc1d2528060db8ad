// STATUS of a pool in etcd whose endpoints do not answer: a runtime asks every few seconds, so it must not wait for each of
// them in turn.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('etcd that does not answer');

/** One endpoint's time-out: in turn, three would take three of them. */
const TIMEOUT_MS = 20_000;

test('STATUS with three endpoints that drop every packet ends long before the time-out of one', {
  absent: 'a pool in etcd',
}, (host) => {
  const outside = host.addOutside();
  outside.mustRun('nft', ['add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }']);
  const config = host.config({
    cniVersion: '1.1.0',
    ipam: {
      type: 'podlink-etcd',
      dataDir: host.dataDir,
      endpoints: ['http://203.0.113.2:2379', 'http://203.0.113.2:2380', 'http://203.0.113.2:2381'],
      timeoutMs: TIMEOUT_MS,
      node: 'n1',
      ranges: [[{ subnet: '10.77.0.0/16' }]],
    },
  });
  const started = performance.now();
  const { msg } = mustRefuse(host, 'STATUS', { config }, 50, /etcd cannot be reached/);
  const ms = performance.now() - started;
  assert.is(msg.match(/no answer for/g)?.length, 3, msg);
  assert.ok(ms < TIMEOUT_MS, `${ms} ms`);
});

run();
