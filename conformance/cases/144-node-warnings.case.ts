// What Node itself says on standard error: that a module is experimental is nothing to a node's operator and would stand in
// the runtime's log with every call; that something is insecure is for the operator to read.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';

const { test, run } = cases("Node's warnings");

test('a warning about security reaches standard error, and none about experiments', { absent: 'Node' }, (host) => {
  const ranges = [[{ subnet: '10.77.0.0/16' }]];
  const etcd = { type: 'podlink-etcd', dataDir: host.dataDir, endpoints: ['https://127.0.0.1:1'], node: 'n1', ranges };
  const config = host.config({ cniVersion: '1.1.0', ipam: etcd });
  const status = (env: Readonly<Record<string, string>>): string => host.invoke('STATUS', { config, env }).stderr;
  const told = status({ NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  assert.match(told, /Warning: Setting the NODE_TLS_REJECT_UNAUTHORIZED environment variable to '0'/);
  assert.not.match(told, /Experimental/);
  assert.is(status({}), '');
});

run();
