// A rangeStart or rangeEnd that is written out is the operator's word: network and broadcast address are handed out where
// it names them. Ends that nobody wrote leave both out.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config, ErrorDocument } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustAdd, mustPass, mustRefuse, refusalOf, resultOf } from '../harness/verdict.ts';

const { test, run } = cases('host-local ranges with written ends');

/** Ask the plugin `host-local` for addresses until it has no more; the addresses, and the refusal. */
function exhaust(host: Host, ipam: object): { given: string[]; refusal: ErrorDocument } {
  const config: Config = {
    cniVersion: '1.0.0',
    name: 'pods',
    type: 'bridge',
    ipam: { type: 'host-local', dataDir: host.dataDir, ...ipam },
  };
  const container = host.addContainer();
  const given: string[] = [];
  for (let i = 0; i < 12; i++) {
    const outcome = host.invoke('ADD', { config, container, containerId: `c${i}`, program: 'host-local' });
    if (outcome.code !== 0) return { given, refusal: refusalOf(outcome, 'ADD', 11, /no IP addresses available/) };
    given.push(resultOf(outcome, config).ips?.[0]?.address ?? '');
  }
  throw new Error(`${given.join(' ')} and more`);
}

const POOLS: readonly (readonly [string, object, readonly string[]])[] = [
  [
    'both ends of two subnets',
    {
      ranges: [
        [
          { subnet: '10.77.0.0/30', rangeStart: '10.77.0.0', rangeEnd: '10.77.0.3' },
          { subnet: '10.77.0.4/30', rangeStart: '10.77.0.4', rangeEnd: '10.77.0.7' },
        ],
      ],
    },
    ['10.77.0.0/30', '10.77.0.2/30', '10.77.0.3/30', '10.77.0.4/30', '10.77.0.6/30', '10.77.0.7/30'],
  ],
  ['no end', { ranges: [[{ subnet: '10.77.0.0/30' }]] }, ['10.77.0.2/30']],
  ['the first', { subnet: '10.77.0.0/30', rangeStart: '10.77.0.0' }, ['10.77.0.0/30', '10.77.0.2/30']],
  ['the last', { subnet: '10.77.0.0/30', rangeEnd: '10.77.0.3' }, ['10.77.0.2/30', '10.77.0.3/30']],
  [
    'both, and the gateway at one',
    { subnet: '10.77.0.0/30', rangeStart: '10.77.0.0', rangeEnd: '10.77.0.3', gateway: '10.77.0.0' },
    ['10.77.0.1/30', '10.77.0.2/30', '10.77.0.3/30'],
  ],
  [
    "IPv6's first",
    { ranges: [[{ subnet: 'fd00:77::/126', rangeStart: 'fd00:77::' }]] },
    ['fd00:77::/126', 'fd00:77::2/126', 'fd00:77::3/126'],
  ],
];
for (const [title, ipam, expected] of POOLS) {
  test(`written: ${title}`, 'same', (host) => {
    assert.equal(exhaust(host, ipam).given, expected);
  });
}

const EDGES = { subnet: '10.77.0.0/24', rangeStart: '10.77.0.0', rangeEnd: '10.77.0.255' };
for (const address of ['10.77.0.0', '10.77.0.255']) {
  test(`${address} is given to the container that asks for it, and CHECK knows it`, 'same', (host) => {
    const config = host.config({ ipam: { type: 'host-local', dataDir: host.dataDir, ...EDGES } });
    const container = host.addContainer();
    const result = mustAdd(host, { config, container, args: `IgnoreUnknown=1;IP=${address}` });
    assert.is(result.ips?.[0]?.address, `${address}/24`);
    mustPass(host, 'CHECK', { config: { ...config, prevResult: result }, container });
    mustPass(host, 'DEL', { config, container });
  });

  test(`${address} is refused where the range's ends are implied`, 'same', (host) => {
    const config = host.config({ ipam: { type: 'host-local', dataDir: host.dataDir, subnet: EDGES.subnet } });
    const invocation = { config, container: host.addContainer(), args: `IgnoreUnknown=1;IP=${address}` };
    mustRefuse(host, 'ADD', invocation, 7, /network or broadcast address.*10\.77\.0\.1-10\.77\.0\.254/);
  });
}

test('a written start behind the implied end: the missing key is named', {
  differs: "it hands out the next subnet's addresses (containernetworking/plugins#1292)",
  seen: /not refused/,
}, (host) => {
  const ipam = { type: 'host-local', dataDir: host.dataDir, subnet: '10.77.0.0/30', rangeStart: '10.77.0.3' };
  const invocation = { config: host.config({ ipam }), container: host.addContainer() };
  mustRefuse(host, 'ADD', invocation, 7, /"ipam\.rangeStart".*rangeEnd/);
});

for (const subnet of ['10.77.0.0/31', '10.77.0.5/32', 'fd00:77::/127', 'fd00:77::5/128']) {
  test(`${subnet} is too small, whatever is written`, 'same', (host) => {
    const [first = ''] = subnet.split('/');
    const ipam = { type: 'host-local', dataDir: host.dataDir, subnet, rangeStart: first, rangeEnd: first };
    const invocation = { config: host.config({ ipam }), container: host.addContainer() };
    mustRefuse(host, 'ADD', invocation, 7, /"ipam\.subnet": Network .* too small to allocate from/);
  });
}

const FULL: Reference = 'same';
test('a full pool begins with the words that alerts look for', FULL, (host) => {
  const { refusal } = exhaust(host, { ranges: [[{ subnet: '10.77.0.0/30' }]] });
  const start = 'failed to allocate for range 0: no IP addresses available in range set: 10.77.0.1-10.77.0.2';
  assert.is(refusal.msg.slice(0, start.length), start);
});

test('the second set of a pool is the one that is named', FULL, (host) => {
  const { refusal } = exhaust(host, {
    ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/126' }, { subnet: 'fd00:78::/126' }]],
  });
  const start =
    'failed to allocate for range 1: no IP addresses available in range set: fd00:77::1-fd00:77::3,fd00:78::1-fd00:78::3';
  assert.is(refusal.msg.slice(0, start.length), start);
});

test('a requested address that is held begins with them too', FULL, (host) => {
  const config = host.config({ ipam: { type: 'host-local', dataDir: host.dataDir, ...EDGES } });
  const args = 'IgnoreUnknown=1;IP=10.77.0.9';
  mustAdd(host, { config, container: host.addContainer(), args });
  const { msg } = mustRefuse(host, 'ADD', { config, container: host.addContainer(), args }, 102, /10\.77\.0\.9/);
  const start =
    'failed to allocate for range 0: requested IP address 10.77.0.9 is not available in range set 10.77.0.0-10.77.0.255';
  assert.is(msg.slice(0, start.length), start);
});

run();
