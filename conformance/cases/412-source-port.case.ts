// The source port of what is masqueraded: a container's own as long as it is free, as SIP, WireGuard and other peers that
// answer only where they expect it need it; with `masqueradeRandom` any.

import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustEnd, mustSay, NO_COMMANDS } from '../harness/operator-command.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { watchArrivals } from '../harness/packet-watch.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { whileServing } from '../harness/standing-server.ts';
import { mustBeEmpty, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = withQuickIpv6(cases('the source port of masqueraded connections'));
const RANDOM: Reference = { absent: 'random ports by a key' };

const UDP_CLIENT = fileURLToPath(new URL('../harness/fixed-port.ts', import.meta.url));
/** Connects from a port of its own, and ends well when it is answered. */
const TCP_CLIENT = `
  const [localPort, host] = process.argv.slice(1);
  const socket = require('node:net').connect({ localPort: Number(localPort), host, port: 7777 });
  socket.on('connect', () => socket.write('?')).on('data', () => process.exit(0)).on('error', () => process.exit(1));
  setTimeout(() => process.exit(1), 5000);`;
const OUTSIDE = ['203.0.113.2', '2001:db8:1::2'];

function network(host: Host, more: Config = {}): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ isDefaultGateway: true, ipMasq: true, ipam, ...more });
}

function isAnswered(from: Namespace, protocol: 'tcp' | 'udp', port: number, address: string): boolean {
  const args =
    protocol === 'udp'
      ? [UDP_CLIENT, String(port), address, '7777', '5000']
      : ['-e', TCP_CLIENT, String(port), address];
  return from.run(process.execPath, args).code === 0;
}

/** How many of the ports the machine outside sees packets from; each connection must be answered. */
async function countKept(pod: Pod, outside: Namespace, protocol: 'tcp' | 'udp', ports: readonly number[]) {
  let kept = 0;
  await whileServing(outside, OUTSIDE, () => {
    for (const address of OUTSIDE) {
      for (const port of ports) {
        const seen = watchArrivals(outside, `${protocol} sport ${port}`);
        assert.ok(isAnswered(pod.namespace, protocol, port, address), `${protocol} from ${port} to ${address}`);
        if (seen() > 0) kept += 1;
      }
    }
  });
  return kept;
}

for (const [protocol, ports] of [
  ['udp', [5060, 51_820]],
  ['tcp', [5060, 179]],
] as const) {
  test(`a port that is free is kept over ${protocol}, IPv4 and IPv6`, 'same', async (host) => {
    const outside = host.addOutside();
    const pod = addPod(host, network(host));
    assert.is(await countKept(pod, outside, protocol, ports), 4);
  });

  test(`with masqueradeRandom it is another over ${protocol}`, RANDOM, async (host) => {
    const outside = host.addOutside();
    const pod = addPod(host, network(host, { masqueradeRandom: true }));
    const kept = await countKept(pod, outside, protocol, [...ports, 6001, 6002]);
    assert.ok(kept < 8, 'all eight are kept');
    checkPod(host, pod);
  });
}

test('of two pods with one port to one destination both are answered, and one keeps it', 'same', async (host) => {
  const outside = host.addOutside();
  const pods = [addPod(host, network(host)), addPod(host, network(host))];
  const kept: number[] = [];
  for (const pod of pods) kept.push(await countKept(pod, outside, 'udp', [5060]));
  assert.equal(kept, [2, 0]);
});

test(
  'a pod with random ports beside one without: each has its own, and DEL takes its own away',
  RANDOM,
  async (host) => {
    const outside = host.addOutside();
    const plain = addPod(host, network(host));
    const before = host.snapshot();
    const random = addPod(host, network(host, { masqueradeRandom: true }));
    const sets = (pod: Pod) =>
      ownedElementsOf(host.namespace)
        .filter(({ owner }) => owner.includes(pod.namespace.name))
        .map(({ set }) => set)
        .sort();
    assert.equal(
      sets(random).filter((set) => !sets(plain).includes(set)),
      ['masquerade_random_v4', 'masquerade_random_v6'],
    );
    assert.is(await countKept(plain, outside, 'udp', [5060, 5061, 5062, 5063]), 8);
    assert.ok((await countKept(random, outside, 'udp', [6060, 6061, 6062, 6063])) < 8);
    delPod(host, random);
    mustBeEmpty(
      host.leftSince(before).filter((line) => line.startsWith('+ host')),
      'left',
    );
    checkPod(host, plain);
  },
);

test('CHECK misses the element of random ports, and repair makes it again', RANDOM, (host) => {
  const pod = addPod(host, network(host, { masqueradeRandom: true }));
  const later = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  for (const family of ['v4', 'v6']) {
    host.namespace.mustRun('nft', ['flush', 'set', 'inet', 'podlink', `masquerade_random_${family}`]);
    mustRefuse(host, 'CHECK', later, 101, new RegExp(`of set masquerade_random_${family} is missing`));
    mustSay(host, ['repair']);
    checkPod(host, pod);
  }
});

test('a published port shows the neighbour by its own port, too', 'same', async (host) => {
  const portMappings = [{ hostPort: 8080, containerPort: 7777, protocol: 'udp' }];
  const config = network(host, { hairpinMode: true, runtimeConfig: { portMappings } });
  const server = addPod(host, config);
  const seen = watchArrivals(server.namespace, 'udp sport 5060');
  await whileServing(server.namespace, [server.ipv4], () => {
    const args = [UDP_CLIENT, '5060', '127.0.0.1', '8080', '5000'];
    assert.is(host.namespace.run(process.execPath, args).code, 0);
  });
  assert.ok(seen() > 0, 'from another port');
});

test('validate knows the key, and says when it comes to nothing', NO_COMMANDS, (host) => {
  const validate = (code: number, plugin: object) =>
    mustEnd(
      host,
      ['validate', '--strict', '-'],
      code,
      JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'podlink', ...plugin }] }),
    ).stdout;
  const ipam = { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/24' }]] };
  validate(0, { ipMasq: true, masqueradeRandom: true, isDefaultGateway: true, ipam });
  assert.match(
    validate(1, { masqueradeRandom: true, isDefaultGateway: true, ipam }),
    /"masqueradeRandom" has no effect without "ipMasq"/,
  );
  assert.match(
    validate(1, { ipMasq: true, masqueradeRandom: 'yes', ipam }),
    /"masqueradeRandom": must be true or false/,
  );
});

run();
