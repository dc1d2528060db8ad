import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { NetlinkConnection } from '../netlink/connection.ts';
import { type TestNamespace, withNamespace } from '../testing/namespaces.ts';
import { isErrno } from '../errno.ts';
import { inNetns } from '../netns.ts';
import { deleteFlows, flushFlows, listFlows, mayTrack, openConntrack } from './connection.ts';
import { encodeFlowDump, type FlowFilter } from './flow.ts';

const test = suite('conntrack in the kernel');

const UDP = 17;
const TCP = 6;
const CT_GET = 0x101;

function execute(ns: TestNamespace, program: string, ...args: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', ns.name, program, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** What `conntrack -L` shows, one line a flow: source, destination, port, and who answers. Sorted. */
function refereed(ns: TestNamespace): string[] {
  return ['ipv4', 'ipv6']
    .flatMap((family) => execute(ns, 'conntrack', '-L', '-f', family).split('\n'))
    .flatMap((line) => {
      const found = /^(\w+).* dst=(\S+) sport=\d+ dport=(\d+).* src=(\S+) dst=\S+ sport=(\d+)/.exec(line);
      return found ? [`${found[1]} ${found[2]}:${found[3]} > ${found[4]}:${found[5]}`] : [];
    })
    .sort();
}

/** A namespace in which port 53 of 127.0.0.1 and ::1 is mapped, and connections are tracked. */
function withTracking(work: (ns: TestNamespace, conntrack: NetlinkConnection) => void): Promise<void> {
  return withNamespace((ns) => {
    ns.ip('link', 'set', 'lo', 'up');
    ns.ip('address', 'add', 'fd00::2/128', 'dev', 'lo', 'nodad');
    mapTo(ns, '127.0.0.2', 'fd00::2');
    const conntrack = openConntrack(ns.netns);
    try {
      work(ns, conntrack);
    } finally {
      conntrack.close();
    }
  });
}

function mapTo(ns: TestNamespace, v4: string, v6: string): void {
  const ruleset = `
    table inet t; flush table inet t
    table inet t { chain out { type nat hook output priority -100;
      ip daddr 127.0.0.1 udp dport 53 dnat ip to ${v4}:5353
      ip6 daddr ::1 udp dport 53 dnat ip6 to [${v6}]:5353
    };}`;
  execute(ns, 'nft', ruleset);
}

function sendUdp(ns: TestNamespace, address: string, port: number): void {
  execute(ns, 'bash', '-c', `echo hello > /dev/udp/${address}/${port}`);
}

const TO_53: FlowFilter = { family: 4, protocol: UDP, originalDestinationPort: 53 };

test('listFlows() lists real flows of both families, behind the translation', () =>
  withTracking((ns, conntrack) => {
    sendUdp(ns, '127.0.0.1', 53);
    sendUdp(ns, '::1', 53);
    sendUdp(ns, '127.0.0.1', 54);
    for (const [family, local, container] of [
      [4, '127.0.0.1', '127.0.0.2'],
      [6, '::1', 'fd00::2'],
    ] as const) {
      const flows = listFlows(conntrack, { ...TO_53, family });
      assert.is(flows.length, 1);
      assert.is(flows[0]?.original.source, local);
      assert.is(flows[0]?.original.destination, local);
      assert.is(flows[0]?.original.destinationPort, 53);
      assert.is(flows[0]?.reply.source, container);
      assert.is(flows[0]?.reply.sourcePort, 5353);
      assert.is(flows[0]?.protocol, UDP);
      assert.is(flows[0]?.zone, 0);
    }
  }));

test('deleteFlows() deletes the flows that lead elsewhere, and nothing else', () =>
  withTracking((ns, conntrack) => {
    for (const address of ['127.0.0.1', '::1']) sendUdp(ns, address, 53);
    mapTo(ns, '127.0.0.3', 'fd00::2');
    sendUdp(ns, '127.0.0.1', 53);
    sendUdp(ns, '127.0.0.1', 54);
    assert.equal(refereed(ns), [
      'udp 127.0.0.1:53 > 127.0.0.2:5353',
      'udp 127.0.0.1:53 > 127.0.0.3:5353',
      'udp 127.0.0.1:54 > 127.0.0.1:54',
      'udp ::1:53 > fd00::2:5353',
    ]);
    assert.is(deleteFlows(conntrack, { ...TO_53, replySourceOtherThan: '127.0.0.3' }), 1);
    const left = ['udp 127.0.0.1:53 > 127.0.0.3:5353', 'udp 127.0.0.1:54 > 127.0.0.1:54', 'udp ::1:53 > fd00::2:5353'];
    assert.equal(refereed(ns), left);
    assert.is(deleteFlows(conntrack, { ...TO_53, replySourceOtherThan: '127.0.0.3' }), 0);
    assert.is(deleteFlows(conntrack, { ...TO_53, protocol: TCP }), 0);
    assert.is(deleteFlows(conntrack, { ...TO_53, originalDestination: '127.0.0.2' }), 0);
    assert.equal(refereed(ns), left);
    assert.is(deleteFlows(conntrack, { ...TO_53, family: 6, replySource: 'fd00:0::2' }), 1);
    assert.is(deleteFlows(conntrack, { ...TO_53, originalDestination: '127.0.0.1' }), 1);
    assert.equal(refereed(ns), ['udp 127.0.0.1:54 > 127.0.0.1:54']);
  }));

test('deleteFlows() deletes flows of a zone of their own, and leaves the same ones of another zone', () =>
  withTracking((ns, conntrack) => {
    const flow = ['-s', '10.1.2.3', '-d', '10.1.2.4', '--sport', '1000', '--dport', '53', '-t', '100'];
    for (const zone of ['7', '8']) {
      const reply = ['-r', `10.9.9.${zone}`, '-q', '10.1.2.3', '--reply-port-src', '53', '--reply-port-dst', '1000'];
      execute(ns, 'conntrack', '-I', '-p', 'udp', '-w', zone, ...flow, ...reply);
    }
    assert.equal(
      listFlows(conntrack, TO_53)
        .map(({ zone }) => zone)
        .sort(),
      [7, 8],
    );
    assert.is(deleteFlows(conntrack, { ...TO_53, replySource: '10.9.9.7' }), 1);
    assert.equal(refereed(ns), ['udp 10.1.2.4:53 > 10.9.9.8:53']);
  }));

test('flushFlows() deletes the flows to a container, and no other, or says that the kernel cannot', () =>
  withTracking((ns, conntrack) => {
    for (const address of ['127.0.0.1', '::1']) sendUdp(ns, address, 53);
    mapTo(ns, '127.0.0.3', 'fd00::2');
    sendUdp(ns, '127.0.0.1', 53);
    sendUdp(ns, '127.0.0.1', 54);
    const flow = ['-s', '127.0.0.1', '-d', '127.0.0.1', '--sport', '1000', '--dport', '53', '-t', '100'];
    const reply = ['-r', '127.0.0.2', '-q', '127.0.0.1', '--reply-port-src', '53', '--reply-port-dst', '1000'];
    execute(ns, 'conntrack', '-I', '-p', 'tcp', '--state', 'ESTABLISHED', ...flow, ...reply);
    const before = refereed(ns);
    assert.is(before.length, 5);
    const toContainer: FlowFilter = { ...TO_53, replySource: '127.0.0.2' };
    const partly: FlowFilter[] = [
      TO_53,
      { ...TO_53, replySourceOtherThan: '127.0.0.2' },
      { ...toContainer, replySourceOtherThan: '127.0.0.3' },
      { ...TO_53, family: 6, replySource: 'fd00::2' },
    ];
    for (const filter of partly) assert.is(flushFlows(conntrack, filter), false);
    flushFlows(conntrack, { ...toContainer, originalDestination: '127.0.0.9' });
    flushFlows(conntrack, { ...toContainer, originalDestinationPort: 54 });
    assert.equal(refereed(ns), before);
    const isDone = flushFlows(conntrack, { ...toContainer, originalDestination: '127.0.0.1' });
    const isMeant = (line: string) => line === 'udp 127.0.0.1:53 > 127.0.0.2:5353';
    assert.equal(
      refereed(ns),
      before.filter((line) => !isDone || !isMeant(line)),
    );
    assert.is(flushFlows(conntrack, toContainer), isDone);
  }));

test('mayTrack() rules out a port only when the table is known to have none', () =>
  withTracking((ns) => {
    const asked = (port: number) => inNetns(ns.netns, () => mayTrack(port));
    assert.is(asked(53), false);
    sendUdp(ns, '::1', 53);
    assert.is(asked(53), true);
    // Without the file there is only the number of flows to go by.
    const hasFile = canRead('/proc/net/nf_conntrack');
    assert.is(asked(530), !hasFile);
    execute(ns, 'bash', '-c', 'for port in {1000..1039}; do echo hello > /dev/udp/127.0.0.1/$port; done');
    assert.is(asked(530), true);
    execute(ns, 'conntrack', '-F');
    assert.is(asked(530), false);
  }));

test('mayTrack() rules nothing out where the table is full of long lines', () =>
  withTracking((ns) => {
    for (let i = 10; i < 26; i++) {
      const flow = ['-s', `2001:db8:1111:2222:3333:4444:5555:66${i}`, '-d', '2001:db8:1111:2222:3333:4444:5555:6677'];
      const ports = ['--sport', '40000', '--dport', '50000', '-t', '100', '--state', 'ESTABLISHED'];
      execute(ns, 'conntrack', '-I', '-p', 'tcp', ...flow, ...ports);
    }
    assert.is(
      inNetns(ns.netns, () => mayTrack(53)),
      true,
    );
  }));

function canRead(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

for (const [name, number] of [
  ['tcp', TCP],
  ['sctp', 132],
] as const) {
  test(`deleteFlows() deletes flows of ${name}`, () =>
    withTracking((ns, conntrack) => {
      const state =
        name === 'tcp'
          ? ['--state', 'ESTABLISHED']
          : ['--state', 'ESTABLISHED', '--orig-vtag', '1', '--reply-vtag', '2'];
      const flow = ['-s', '10.1.2.3', '-d', '10.1.2.4', '--sport', '1000', '-t', '100', ...state];
      for (const port of ['53', '54']) execute(ns, 'conntrack', '-I', '-p', name, ...flow, '--dport', port);
      assert.is(deleteFlows(conntrack, { ...TO_53, protocol: number }), 1);
      assert.equal(refereed(ns), [`${name} 10.1.2.4:54 > 10.1.2.4:54`]);
    }));
}

test('the kernel picks the flows itself, of 500 the one that is meant', () =>
  withTracking((ns, conntrack) => {
    execute(
      ns,
      'bash',
      '-c',
      'for port in {1000..1499}; do echo hello > /dev/udp/127.0.0.1/$port; done; echo hello > /dev/udp/127.0.0.1/53',
    );
    const sent = (filter: FlowFilter) =>
      conntrack.dump({ operation: 'list', type: CT_GET, flags: 0, payload: encodeFlowDump(filter, true) }).length;
    assert.is(sent({ family: 4, protocol: UDP }), 501);
    assert.is(sent(TO_53), 1);
    assert.is(sent({ ...TO_53, originalDestination: '127.0.0.9' }), 0);
    assert.is(sent({ family: 4, protocol: UDP, replySource: '127.0.0.2' }), 1);
    assert.is(sent({ family: 4, protocol: TCP }), 0);
  }));

test('listFlows() is empty in a namespace that tracks nothing', () =>
  withNamespace((ns) => {
    const conntrack = openConntrack(ns.netns);
    assert.equal(listFlows(conntrack, TO_53), []);
    assert.is(deleteFlows(conntrack, { ...TO_53, family: 6 }), 0);
    conntrack.close();
  }));

test.run();
