import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeElement } from '../../kernel/nftables/element.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { bridgedGatewayFeature } from './bridged-gateway.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';

const test = suite('bridged gateway');
const ATTACHMENT: AttachedInterface = {
  key: { network: 'pods', containerId: 'c1', ifname: 'eth0' },
  bridge: 'cni0',
  gateway: 'cni0.100',
  gatewayMac: '02:00:00:00:01:00',
  hostInterface: 'veth0123456789a',
  mac: '02:00:00:00:00:05',
  addresses: ['10.22.0.5/16'],
};

function elementsOf(keys: object, attachment = ATTACHMENT, mode = 'bridge'): string[] | undefined {
  const plan = bridgedGatewayFeature.plan({
    key: ATTACHMENT.key,
    config: parseNetworkConfig(JSON.stringify({ name: 'pods', ...keys })),
    cniArgs: new Map(),
    mode,
    isConfigured: true,
    hasOwnInterface: mode !== 'host',
    hasBridge: mode === 'bridge',
    sharesNamespace: mode === 'host',
    warn: () => undefined,
  });
  return plan?.nftables?.(attachment).elements.map(describeElement);
}

test('a container of a VLAN has an element with its MAC and that of its gateway', () => {
  for (const key of ['isGateway', 'isDefaultGateway']) {
    assert.equal(elementsOf({ vlan: 100, [key]: true }), ['"cni0" . 02:00:00:00:00:05 . 02:00:00:00:01:00']);
  }
});

test('it is no matter without a VLAN, without a gateway, and in other modes', () => {
  assert.is(elementsOf({ isGateway: true }), undefined);
  assert.is(elementsOf({ vlan: 0, isGateway: true }), undefined);
  assert.is(elementsOf({ vlan: 100 }), undefined);
  assert.is(elementsOf({ vlan: 100, isGateway: true }, ATTACHMENT, 'host'), undefined);
});

test('without the MAC of the gateway there is no element', () => {
  const { gatewayMac: _, ...unknown } = ATTACHMENT;
  assert.equal(elementsOf({ vlan: 100, isGateway: true }, unknown), []);
});

test.run();
