import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { formatAddresses } from './attachment-list.ts';

const test = suite('attachment list');

function record(mode: AttachmentRecord['mode'], count: number): AttachmentRecord {
  const addresses = Array.from({ length: count }, (_, i) => `10.1.0.${i + 1}/24`);
  return {
    ...{ version: 1, state: 'complete', network: 'pods', containerId: 'c1', ifname: 'eth0', netns: '/run/netns/c1' },
    ...{ netnsIdentity: '4:1', mode, objects: {}, addresses, features: {}, elements: [], config: {}, cniArgs: '' },
    created: '2026-11-21T07:52:03.000Z',
  };
}

test('formatAddresses() shows two addresses of a shared namespace, and how many more there are', () => {
  assert.is(formatAddresses(record('host', 2), false), '10.1.0.1/24, 10.1.0.2/24');
  assert.is(formatAddresses(record('host', 5), false), '10.1.0.1/24, 10.1.0.2/24, +3 more');
  assert.is(formatAddresses(record('container', 3), false), '10.1.0.1/24, 10.1.0.2/24, +1 more');
});

test("formatAddresses() shows every address that is the container's own, or when all are asked for", () => {
  const all = '10.1.0.1/24, 10.1.0.2/24, 10.1.0.3/24';
  assert.is(formatAddresses(record('bridge', 3), false), all);
  assert.is(formatAddresses(record('host', 3), true), all);
  assert.is(formatAddresses(record('none', 0), false), '');
});

test.run();
