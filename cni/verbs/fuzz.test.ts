// Broken records and configurations from a fixed seed: what is thrown has a code of the runtime's, and never says 999.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ENODEV } from '../kernel/errno.ts';
import { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { acknowledge, FakeTransport } from '../kernel/netlink/fake-transport.ts';
import { parseNetworkConfig } from '../protocol/config.ts';
import { ERR_INTERNAL, formatError, toCniError } from '../protocol/errors.ts';
import { anyJsonValue, mutations, seededRandom } from '../protocol/testing/mutation.ts';
import { findRecord, listAllRecords, listRecords, listRecordsOfContainer } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { Context } from './context.ts';
import { tracesOfRecord } from './features.ts';
import { planRequest } from './plan.ts';
import { removalOfRecord } from './removal.ts';

const test = suite('verbs fuzz');

const key = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const CONFIG = {
  cniVersion: '1.1.0',
  name: 'pods',
  type: 'podlink',
  mode: 'bridge',
  bridge: 'cni0',
  isGateway: true,
  isDefaultGateway: true,
  forceAddress: false,
  ipMasq: true,
  hairpinMode: true,
  promiscMode: false,
  mtu: 1500,
  macspoofchk: true,
  portIsolation: false,
  enabledad: false,
  disableContainerInterface: false,
  vlan: 0,
  vlanTrunk: [{ id: 5 }, { minID: 7, maxID: 9 }],
  preserveDefaultVlan: true,
  icc: false,
  internal: false,
  hostBindingIPv4: '192.0.2.1',
  target: 'pod:shop/cart',
  allowModes: ['bridge', 'host', 'container', 'none'],
  overrides: [
    { pod: 'kube-system/*', mode: 'host' },
    { pod: 'shop/*', mode: 'container', target: 'infra' },
  ],
  snat: true,
  masqAll: false,
  sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1', 'net.core.somaxconn': '500' },
  mac: '02:00:00:00:00:05',
  promisc: true,
  allmulti: true,
  txQLen: 500,
  ingressRate: 1_000_000,
  ingressBurst: 200_000,
  egressRate: 1_000_000,
  egressBurst: 200_000,
  log: '/var/log/podlink.jsonl',
  dns: { nameservers: ['10.22.0.1'], search: ['a'] },
  args: { cni: { mode: 'bridge', ips: ['10.22.0.9'], sysctl: { 'net.core.somaxconn': '400' } } },
  ipam: {
    type: 'host-local',
    dataDir: '/nowhere/podlink-fuzz',
    ranges: [[{ subnet: '10.22.0.0/16', rangeStart: '10.22.0.5', gateway: '10.22.0.1' }], [{ subnet: 'fd00::/64' }]],
    routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.1', mtu: 1400 }],
    exclude: ['10.22.0.64/26', '10.22.1.1-10.22.1.9'],
    resolvConf: '/nowhere/resolv.conf',
    endpoints: ['http://127.0.0.1:1'],
    addresses: [{ address: '10.22.0.9/16', gateway: '10.22.0.1' }],
  },
  runtimeConfig: {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '192.0.2.1' }, { containerPort: 53 }],
    bandwidth: { ingressRate: 1_000_000, ingressBurst: 200_000, egressRate: 1_000_000, egressBurst: 200_000 },
    ips: ['10.22.0.9/16'],
    mac: '02:00:00:00:00:05',
    ipRanges: [[{ subnet: '10.23.0.0/16' }]],
    'io.kubernetes.cri.pod-annotations': { 'podlink.dev/mode': 'bridge', 'podlink.dev/target': 'infra' },
  },
};
/** What only an interface of one's own can have is not there: the other modes refuse it. */
const { args: _, runtimeConfig: __, mac: ___, ...BARE_CONFIG } = CONFIG;
const RECORD: AttachmentRecord = {
  version: 1,
  state: 'complete',
  ...key,
  netns: '/run/netns/c1',
  netnsIdentity: '4:4026531840',
  mode: 'bridge',
  objects: { bridge: 'cni0', hostInterface: 'podabcdef', sharedNetns: '4:4026531841', target: 'container "c0"' },
  addresses: ['10.22.0.9/16'],
  result: { interfaces: [{ name: 'eth0', sandbox: '/run/netns/c1' }], ips: [], routes: [], dns: {} },
  features: { tuning: { sysctls: [] }, bandwidth: { ifb: 'ifb0' } },
  elements: [{ family: 1, set: 'masquerade_v4', key: '0a160009' }],
  config: CONFIG,
  cniArgs: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
  created: '2026-01-01T00:00:00.000Z',
};

/** A deep copy in which some values are replaced by others of any type. */
function withWrongTypes(value: unknown, random: () => number, rate: number): unknown {
  if (random() < rate) return anyJsonValue(random);
  if (Array.isArray(value)) return value.map((item) => withWrongTypes(item, random, rate));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withWrongTypes(item, random, rate)]));
}

/** A deep copy in which exactly one value, the Nth, is another. Undefined when there are not so many. */
function* withEachValueReplaced(value: unknown, others: readonly unknown[]): Generator<unknown> {
  if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      for (const replaced of withEachValueReplaced(item, others)) {
        yield Array.isArray(value) ? value.with(Number(name), replaced) : { ...value, [name]: replaced };
      }
    }
  }
  yield* others;
}

const OTHERS = [null, true, -1, 1.5, 2 ** 53, '', 'x', '10.0.0.1', 'fd00::1/64', '/', '\0', [], [null], {}, [[]]];

/** Whether `work` returns; what it throws must be an answer to a runtime. */
function isAnswered(work: () => unknown, input: () => string): boolean {
  try {
    work();
    return true;
  } catch (error) {
    const answer = toCniError(error);
    if (answer.code === ERR_INTERNAL) throw new Error(`for ${input()}`, { cause: error });
    assert.ok(answer.message !== '');
    JSON.parse(formatError(answer, '1.1.0'));
    return false;
  }
}

/** A host on which there is no link at all. */
class BareHost extends Context {
  readonly #bare = new NetlinkConnection(new FakeTransport(() => [acknowledge(ENODEV)]));

  override get route(): NetlinkConnection {
    return this.#bare;
  }
}

function withHost(work: (host: Context) => void): void {
  const runDir = mkdtempSync(join(tmpdir(), 'podlink-fuzz-'));
  try {
    work(new BareHost({ PODLINK_RUN_DIR: runDir }, () => undefined));
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

/** Put a text in the place of the record. */
function plant(host: Context, text: string): void {
  const path = join(host.runDir, 'attachments', 'pods', 'c1.eth0.json');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** All that verbs do with a record, short of the host's own nftables and connection tracking. */
function useRecords(host: Context): number {
  listRecords(host.runDir, 'pods');
  listRecordsOfContainer(host.runDir, 'c1');
  const records = [findRecord(host.runDir, key), ...listAllRecords(host.runDir)].filter((one) => one !== undefined);
  for (const record of records) {
    tracesOfRecord(record);
    const removal = removalOfRecord(record, host, []);
    for (const mode of removal.modes) mode.detach(host, { ...removal, sandbox: undefined, hadLinks: false });
  }
  return records.length;
}

test('a record in which one value is another is used, or passed over, or refused with a code', () => {
  withHost((host) => {
    const outcomes = { used: 0, passedOver: 0, refused: 0 };
    for (const broken of withEachValueReplaced(RECORD, OTHERS)) {
      const text = JSON.stringify(broken);
      plant(host, text);
      let found = 0;
      const isFine = isAnswered(
        () => {
          found = useRecords(host);
        },
        () => text,
      );
      outcomes[isFine ? (found > 0 ? 'used' : 'passedOver') : 'refused']++;
    }
    assert.ok(outcomes.used > 100 && outcomes.passedOver > 100, JSON.stringify(outcomes));
    console.log(`\ninputs tried: ${Object.values(outcomes).reduce((sum, n) => sum + n)} records`);
  });
});

test('a torn record is passed over, wherever it was torn', () => {
  withHost((host) => {
    const text = JSON.stringify(RECORD);
    for (let length = 0; length < text.length; length += 7) {
      plant(host, text.slice(0, length));
      assert.is(useRecords(host), 0, `torn after ${length} characters`);
    }
    for (const garbage of ['\0'.repeat(4096), '\x7fELF\xff\xfe', '[]', 'null', '"x"', '{}', '{"version":1}']) {
      plant(host, garbage);
      assert.is(useRecords(host), 0, garbage);
    }
    for (const mutated of mutations(text, 1000, 600)) {
      plant(host, mutated);
      isAnswered(
        () => useRecords(host),
        () => mutated,
      );
    }
  });
});

test('planRequest() meets a configuration in which one value is another with a plan or a code', () => {
  withHost((host) => {
    const outcomes = { accepted: 0, refused: 0 };
    for (const broken of withEachValueReplaced(CONFIG, OTHERS)) judge(host, broken, outcomes);
    assert.ok(outcomes.accepted > 100 && outcomes.refused > 200, JSON.stringify(outcomes));
    console.log(`\ninputs tried: ${outcomes.accepted + outcomes.refused} configurations`);
  });
});

test('planRequest() meets configurations with several wrong values, in every mode and IPAM, with a plan or a code', () => {
  const random = seededRandom(601);
  withHost((host) => {
    const outcomes = { accepted: 0, refused: 0 };
    for (let i = 0; i < 4000; i++) {
      const mode = ['bridge', 'host', 'container', 'none'][i % 4];
      const type = ['host-local', 'static', 'podlink-etcd', 'nobodys'][(i >> 2) % 4];
      const config = { ...(mode === 'bridge' ? CONFIG : BARE_CONFIG), mode, ipam: { ...CONFIG.ipam, type } };
      judge(host, withWrongTypes(config, random, 0.01), outcomes);
    }
    assert.ok(outcomes.accepted > 100 && outcomes.refused > 1000, JSON.stringify(outcomes));
    console.log(`\ninputs tried: ${outcomes.accepted + outcomes.refused} configurations`);
  });
});

/** Have an ADD planned, as far as that changes nothing. */
function judge(host: Context, value: unknown, outcomes: { accepted: number; refused: number }): void {
  const stdin = JSON.stringify(value);
  const isAccepted = isAnswered(
    () => {
      const config = parseNetworkConfig(stdin);
      const cniArgs = new Map([['K8S_POD_NAMESPACE', 'x']]);
      const { env, warn } = host;
      const plan = planRequest({ config, key, cniArgs, path: ['/nowhere'], env, warn, input: () => stdin }, host);
      plan.steps.objects();
      config.prevResult();
      config.validAttachments();
    },
    () => stdin,
  );
  outcomes[isAccepted ? 'accepted' : 'refused']++;
}

test.run();
