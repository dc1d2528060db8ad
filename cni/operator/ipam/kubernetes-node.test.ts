import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError } from '../cli/command.ts';
import { isInCluster, podCidrsOf, readPodCidrs } from './kubernetes-node.ts';

const test = suite('kubernetes-node');

test('podCidrsOf() reads podCIDRs, else podCIDR, else nothing', () => {
  assert.equal(podCidrsOf({ spec: { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24', 'fd00::/64'] } }), [
    '10.1.0.0/24',
    'fd00::/64',
  ]);
  assert.equal(podCidrsOf({ spec: { podCIDR: '10.1.0.0/24' } }), ['10.1.0.0/24']);
  assert.equal(podCidrsOf({ spec: { podCIDR: '10.1.0.0/24', podCIDRs: [] } }), ['10.1.0.0/24']);
  for (const node of [{ spec: { podCIDR: '' } }, { spec: {} }, {}, undefined, [], { spec: { podCIDRs: [null] } }]) {
    assert.equal(podCidrsOf(node), []);
  }
});

test('isInCluster() goes by the variables of every container in a cluster', () => {
  assert.ok(isInCluster({ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }));
  assert.not(isInCluster({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }));
  assert.not(isInCluster({ KUBERNETES_SERVICE_HOST: '', KUBERNETES_SERVICE_PORT: '443' }));
  assert.not(isInCluster({}));
});

test('readPodCidrs() says that NODE_NAME is missing', async () => {
  const error = await readPodCidrs({}).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CommandError);
  assert.match(String(error), /NODE_NAME is not set.*spec\.nodeName/);
});

test.run();
