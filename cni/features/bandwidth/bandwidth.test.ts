import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { acknowledge, done, FakeTransport, type Responder } from '../../kernel/netlink/fake-transport.ts';
import { attribute, join, u32 } from '../../kernel/testing/bytes.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { CniError } from '../../protocol/errors.ts';
import { ifbAlias, ifbMac, ifbName } from '../../attachment/marks.ts';
import { defaultClassOf, egressFilters, ingressFilters } from './bandwidth-queues.ts';
import { bandwidthFeature } from './bandwidth.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { FeaturePlan } from '../feature.ts';
import { connected } from '../testing/connected.ts';

const test = suite('bandwidth');

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const IFB = ifbName(KEY);
const ATTACHMENT: AttachedInterface = {
  key: KEY,
  bridge: 'cni0',
  gateway: 'cni0',
  hostInterface: 'veth1',
  mac: undefined,
  addresses: [],
};

function plan(
  keys: object,
  { runtime, hasOwnInterface = true }: { runtime?: object; hasOwnInterface?: boolean } = {},
): { steps: FeaturePlan | undefined; warnings: string[] } {
  const warnings: string[] = [];
  const runtimeConfig = { bandwidth: runtime };
  const config = parseNetworkConfig(JSON.stringify({ cniVersion: '1.0.0', name: 'pods', ...keys, runtimeConfig }));
  const steps = bandwidthFeature.plan({
    key: KEY,
    config,
    cniArgs: new Map(),
    mode: hasOwnInterface ? 'bridge' : 'host',
    isConfigured: true,
    hasOwnInterface,
    hasBridge: hasOwnInterface,
    sharesNamespace: !hasOwnInterface,
    warn: (message) => warnings.push(message),
  });
  return { steps, warnings };
}

/** RTM_NEWLINK as the kernel answers. */
function link(index: number, name: string, kind: string, alias = ''): Uint8Array {
  return join(
    join(new Uint8Array(4), u32(index), u32(1), u32(0)),
    attribute(3, Buffer.from(`${name}\0`)),
    attribute(4, u32(1500)),
    attribute(18, attribute(1, Buffer.from(`${kind}\0`))),
    ...(alias === '' ? [] : [attribute(20, Buffer.from(`${alias}\0`))]),
  );
}

/** A kernel with a veth and, once it has been made or if it was left, an ifb. */
function kernel(left?: { kind: string; alias: string }): { transport: FakeTransport; respond: Responder } {
  let ifb = left;
  const respond: Responder = ({ type, payload }) => {
    const isOfIfb = Buffer.from(payload).includes(IFB) || payload[4] === 7;
    switch (type) {
      case 16:
        if (ifb) return [acknowledge(17)];
        ifb = { kind: 'ifb', alias: ifbAlias(KEY) };
        return [acknowledge()];
      case 17:
        ifb = undefined;
        return [acknowledge()];
      case 18:
        if (!isOfIfb) return [{ type: 16, payload: link(3, 'veth1', 'veth') }, acknowledge()];
        return ifb ? [{ type: 16, payload: link(7, IFB, ifb.kind, ifb.alias) }, acknowledge()] : [acknowledge(19)];
      default:
        return [acknowledge()];
    }
  };
  return { transport: new FakeTransport(respond), respond };
}

const RTM: Readonly<Record<number, string>> = {
  16: 'new link',
  17: 'delete link',
  18: 'get link',
  19: 'set link',
  36: 'new qdisc',
  40: 'new class',
  44: 'new filter',
};

function requestsOf(transport: FakeTransport): string[] {
  return transport.requests.map(({ type }) => RTM[type] ?? String(type));
}

function apply(steps: FeaturePlan | undefined, transport: FakeTransport): string[] {
  const warnings: string[] = [];
  const host = {
    route: new NetlinkConnection(transport),
    runDir: '',
    warn: (message: string) => warnings.push(message),
  };
  const attachment = connected(ATTACHMENT, host);
  const objects = steps?.objects?.(attachment) ?? {};
  steps?.apply?.(attachment, objects);
  return warnings;
}

test('plan() asks for nothing without a limit', () => {
  assert.is(plan({}).steps, undefined);
  assert.is(plan({ ingressRate: 0 }, { runtime: {} }).steps, undefined);
});

test('plan() discards limits where the container has no interface, and says so of those the pod asked for', () => {
  assert.equal(plan({ ingressRate: 8000 }, { hasOwnInterface: false }), { steps: undefined, warnings: [] });
  assert.equal(plan({}, { runtime: { ingressRate: 8000 }, hasOwnInterface: false }), {
    steps: undefined,
    warnings: ['the bandwidth limit is discarded: in mode "host" the container has no interface of its own'],
  });
});

test('objects() names the ifb if there will be one', () => {
  const host = { route: new NetlinkConnection(new FakeTransport()), runDir: '', warn: () => undefined };
  const objects = (keys: object): object | undefined => plan(keys).steps?.objects?.(connected(ATTACHMENT, host));
  assert.equal(objects({ egressRate: 8000 }), { ifb: IFB });
  assert.equal(objects({ ingressRate: 8000 }), {});
  const { steps } = plan({ ingressRate: 8000 });
  const without = { ...ATTACHMENT, hostInterface: undefined };
  const error = thrownOf(CniError, () => steps?.objects?.(connected(without, host)));
  assert.equal(
    [error.code, error.message],
    [2, 'Unsupported in mode "bridge": bandwidth limits, which need a veth pair'],
  );
});

test('apply() takes one question and one change to limit what comes to the container', () => {
  const { transport } = kernel();
  assert.equal(apply(plan({ ingressRate: 8e6 }).steps, transport), []);
  assert.equal(requestsOf(transport), ['get link', 'new qdisc']);
});

test('apply() makes the ifb and its queue before the first packet is sent there, and lists nothing', () => {
  const { transport } = kernel();
  apply(plan({ egressRate: 8e6 }).steps, transport);
  const ofIfb = ['new link', 'get link', 'set link', 'set link', 'new qdisc'];
  assert.equal(requestsOf(transport), ['get link', ...ofIfb, 'new qdisc', 'new filter']);
  assert.ok(transport.requests.every(({ flags }) => (flags & 0x300) !== 0x300));
  assert.equal(
    transport.requests.slice(4).map(({ payload }) => payload[4]),
    [7, 7, 3, 3],
  );
});

test('apply() does not ask for an ifb that the kernel tells of when it has made it', () => {
  const { respond } = kernel();
  const transport = new FakeTransport((request) =>
    request.type === 16
      ? [...(request.flags & 0x8 ? [{ type: 16, payload: link(7, IFB, 'ifb') }] : []), ...respond(request)]
      : respond(request),
  );
  apply(plan({ egressRate: 8e6 }).steps, transport);
  const ofIfb = ['new link', 'set link', 'set link', 'new qdisc'];
  assert.equal(requestsOf(transport), ['get link', ...ofIfb, 'new qdisc', 'new filter']);
  assert.equal(
    transport.requests.slice(2).map(({ payload }) => payload[4]),
    [7, 7, 7, 3, 3],
  );
});

test('apply() completes what it began, with the owner alone named, where the kernel has no IPv6', () => {
  const { respond } = kernel();
  const hasIpv6Setting = (payload: Uint8Array) => Buffer.from(payload).includes(Buffer.from([0x1a, 0x80]));
  const transport = new FakeTransport((request) => {
    if (request.type === 19 && hasIpv6Setting(request.payload)) return [acknowledge(97)];
    // As if nothing behind the refusal had been carried out.
    if (request.type === 38) return [acknowledge(2)];
    return request.type === 46 ? [done()] : respond(request);
  });
  apply(plan({ egressRate: 8e6 }).steps, transport);
  const isNaming = ({ type, payload }: { type: number; payload: Uint8Array }) =>
    type === 19 && Buffer.from(payload).includes(ifbAlias(KEY));
  assert.equal(
    transport.requests.filter(isNaming).map(({ payload }) => hasIpv6Setting(payload)),
    [true, true, false],
  );
  assert.not(requestsOf(transport).includes('delete link'));
  assert.is(requestsOf(transport).at(-1), 'new filter');
});

test('apply() warns of a burst that it replaces', () => {
  const { transport } = kernel();
  const runtime = { ingressRate: 1e7, ingressBurst: 2 ** 31 - 1 };
  assert.equal(apply(plan({}, { runtime }).steps, transport), [
    '"runtimeConfig.bandwidth.ingressBurst" of 2147483647 bits is so much that the limit would not hold: 1000000 bits are used instead',
  ]);
});

test('apply() takes an ifb that a killed ADD has left, marked or not, and completes it', () => {
  for (const alias of ['', ifbAlias(KEY)]) {
    const { respond } = kernel({ kind: 'ifb', alias });
    const transport = new FakeTransport((request) => {
      if (request.type === 38) return [acknowledge(2)];
      return request.type === 46 ? [done()] : respond(request);
    });
    apply(plan({ egressRate: 8e6 }).steps, transport);
    const requests = requestsOf(transport);
    assert.not(requests.includes('delete link'));
    assert.equal(requests.filter((request) => request === 'set link').length, 2);
    assert.is(requests.at(-1), 'new filter');
  }
});

test('apply() does no harm to another kind of link that has the name', () => {
  const { transport } = kernel({ kind: 'dummy', alias: '' });
  const error = thrownOf(CniError, () => apply(plan({ egressRate: 8e6 }).steps, transport));
  assert.equal(
    [error.code, error.message],
    [102, `Cannot limit what container "c1" sends to network "pods": "${IFB}" already exists but is not an ifb`],
  );
  assert.not(requestsOf(transport).some((request) => request === 'delete link' || request === 'set link'));
});

test('apply() says what to do about a kernel without ifb', () => {
  const transport = new FakeTransport((request) =>
    request.type === 16 ? [acknowledge(95)] : kernel().respond(request),
  );
  const error = thrownOf(CniError, () => apply(plan({ egressRate: 8e6 }).steps, transport));
  assert.equal(
    [error.code, error.message],
    [
      100,
      'Cannot limit what container "c1" sends to network "pods": the kernel has no ifb (load its module ifb, or leave out the egress limit)',
    ],
  );
});

test('apply() sends many filters in several datagrams', () => {
  const { transport } = kernel();
  const datagrams: number[] = [];
  const send = transport.send.bind(transport);
  transport.send = (datagram) => {
    const before = transport.requests.length;
    send(datagram);
    datagrams.push(transport.requests.length - before);
  };
  const unshapedSubnets = Array.from({ length: 256 }, (_, i) => `10.0.${i}.0/24`);
  apply(plan({ ingressRate: 8e6, egressRate: 8e6, unshapedSubnets }).steps, transport);
  assert.ok(datagrams.every((count) => count <= 100));
  assert.is(requestsOf(transport).filter((request) => request === 'new filter').length, 256 + 257);
});

function remove(objects: object | undefined, left?: { kind: string; alias: string }): boolean {
  const { transport } = kernel(left);
  const host = { route: new NetlinkConnection(transport), runDir: '', warn: () => undefined };
  const removal = { key: KEY, objects: objects as Record<string, unknown> | undefined, sandbox: undefined };
  bandwidthFeature.remove?.(host, removal);
  return requestsOf(transport).includes('delete link');
}

test('remove() deletes the ifb on record, and is content when it is gone', () => {
  assert.ok(remove({ ifb: IFB }, { kind: 'ifb', alias: '' }));
  assert.not(remove({ ifb: IFB }));
  assert.not(remove({}, { kind: 'ifb', alias: ifbAlias(KEY) }));
});

test('remove() without a record deletes an ifb only if it is marked as this attachment’s', () => {
  assert.ok(remove(undefined, { kind: 'ifb', alias: ifbAlias(KEY) }));
  assert.not(remove(undefined, { kind: 'ifb', alias: '' }));
  assert.not(remove(undefined, { kind: 'dummy', alias: ifbAlias(KEY) }));
  assert.not(remove(undefined));
});

test('ifbName() tells attachments apart that the reference takes for one', () => {
  const keys = [
    KEY,
    { ...KEY, ifname: 'eth1' },
    { network: 'podsc', containerId: '1', ifname: 'eth0' },
    { network: 'pods', containerId: 'c1e', ifname: 'th0' },
  ];
  assert.is(new Set(keys.map(ifbName)).size, keys.length);
  for (const key of keys) {
    assert.match(ifbName(key), /^ifb[0-9a-f]{12}$/);
    assert.match(ifbMac(key), /^02(:[0-9a-f]{2}){5}$/);
  }
});

test('ifbAlias() names the owner within the 255 bytes there are', () => {
  assert.is(ifbAlias(KEY), 'podlink-ifb pods c1 eth0');
  const long = ifbAlias({ ...KEY, containerId: 'c'.repeat(300) });
  assert.is(Buffer.byteLength(long), 255);
  assert.match(long, /^podlink-ifb pods c+\.\.\. eth0$/);
});

test('filters look at the other end: the source of what comes in, the destination of what goes out', () => {
  const subnets = { subnets: ['10.0.0.0/8', 'fd00:1::/40'], subnetsAre: 'unshaped' } as const;
  const v6 = (offset: number): object[] => [
    { offset, mask: 0xffffffff, value: 0xfd000001 },
    { offset: offset + 4, mask: 0xff000000, value: 0 },
  ];
  assert.equal(
    ingressFilters(subnets).map(({ protocol, priority, matches, verdict }) => [protocol, priority, matches, verdict]),
    [
      [0x800, 1, [{ offset: 12, mask: 0xff000000, value: 0x0a000000 }], { classId: 0x10000 }],
      [0x86dd, 2, v6(8), { classId: 0x10000 }],
    ],
  );
  assert.equal(
    egressFilters(subnets, 7).map(({ protocol, priority, matches, verdict }) => [protocol, priority, matches, verdict]),
    [
      [0x800, 1, [{ offset: 16, mask: 0xff000000, value: 0x0a000000 }], {}],
      [0x86dd, 2, v6(24), {}],
      [3, 3, [], { redirectIndex: 7 }],
    ],
  );
});

test('filters of shaped subnets choose what is limited, and leave all else alone', () => {
  const subnets = { subnets: ['0.0.0.0/0', '::1/128'], subnetsAre: 'shaped' } as const;
  assert.is(defaultClassOf(subnets), 0);
  assert.equal(
    ingressFilters(subnets).map(({ verdict }) => verdict),
    [{ classId: 0x10001 }, { classId: 0x10001 }],
  );
  const egress = egressFilters(subnets, 7);
  assert.equal(
    egress.map(({ verdict }) => verdict),
    [{ redirectIndex: 7 }, { redirectIndex: 7 }],
  );
  assert.equal(
    egress.map(({ matches }) => matches.length),
    [0, 4],
  );
  assert.equal(egress[1]?.matches.at(-1), { offset: 36, mask: 0xffffffff, value: 1 });
});

test.run();
