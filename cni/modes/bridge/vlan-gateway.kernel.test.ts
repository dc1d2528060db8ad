// The gateway of a VLAN: what several ADDs do to it, and what the step back of one that fails leaves to the others. On a kernel
// without VLAN filtering (`npm run test:vm` has others) all of it is skipped.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns } from '../../kernel/netns.ts';
import { type TestNamespace, withNamespace } from '../../kernel/testing/namespaces.ts';
import { testUnless } from '../../kernel/testing/skip.ts';
import { hasVlanFiltering, refereedVlans } from '../../kernel/testing/vlan-filtering.ts';
import { type AttachmentKey, parseNetworkConfig } from '../../protocol/config.ts';
import { bridgeMode } from './bridge.ts';
import type { ModePlan } from '../mode.ts';
import type { Attached, Attachment, Undo, Host, Sandbox } from '../../attachment/attachment.ts';
import { NO_UNDO, UndoStack } from '../../attachment/undo-stack.ts';

const test = suite('gateway of a VLAN');
const without = (await hasVlanFiltering()) ? undefined : 'the kernel has no bridge VLAN filtering';

class World {
  readonly ns: TestNamespace;
  readonly host: Host;
  readonly #sandboxes: readonly TestNamespace[];

  constructor(ns: TestNamespace, runDir: string, sandboxes: readonly TestNamespace[]) {
    this.ns = ns;
    this.host = { route: ns.route, runDir, warn: () => undefined, mark: () => undefined };
    this.#sandboxes = sandboxes;
  }

  /** Attach a container; its number is its sandbox's and the last of its addresses. */
  attach(i: number, config: object, undo = new UndoStack()): Attached {
    const addressing = {
      ips: [{ address: `10.22.0.${i + 5}/16` }, { address: `fd00:22::${i + 5}/64` }],
      routes: [],
      dns: {},
    };
    const plan = this.#plan(i, config);
    return this.#onHost(() => plan.attach(this.#attachment(i, plan, undo), addressing));
  }

  check(i: number, config: object, attached: Attached): string[] {
    const plan = this.#plan(i, config);
    return this.#onHost(() => sentencesOf(plan.check(this.#attachment(i, plan), attached)));
  }

  repair(i: number, config: object, attached: Attached): void {
    const plan = this.#plan(i, config);
    this.#onHost(() => plan.repair?.(this.#attachment(i, plan), attached));
  }

  /** As the verbs do when an ADD has failed. */
  async undo(undo: UndoStack): Promise<void> {
    assert.equal(await undo.run(), []);
  }

  sandbox(i: number): Sandbox {
    const ns = this.#sandboxes[i];
    if (!ns) throw new Error('no sandbox');
    return { path: ns.path, netns: ns.netns };
  }

  /** Addresses of a link that are not the kernel's own, in order. */
  addresses(link: string): string[] {
    const [shown] = this.ns.ipJson<{ addr_info: { local: string; scope: string }[] }>('addr', 'show', 'dev', link);
    return (shown?.addr_info ?? []).filter(({ scope }) => scope === 'global').map(({ local }) => local);
  }

  #attachment(i: number, plan: ModePlan, undo: Undo = NO_UNDO): Attachment {
    return { key: keyOf(i), host: this.host, sandbox: this.sandbox(i), objects: plan.objects(), undo };
  }

  #plan(i: number, config: object): ModePlan {
    const text = JSON.stringify({ cniVersion: '1.1.0', name: 'pods', type: 'podlink', isGateway: true, ...config });
    return bridgeMode.plan({
      key: keyOf(i),
      config: parseNetworkConfig(text),
      cniArgs: new Map(),
      hasIpam: true,
      selected: { mode: 'bridge', target: undefined, isPodsChoice: false, allowed: [] },
      findPeers: () => [],
    });
  }

  #onHost<Result>(work: () => Result): Result {
    return inNetns(this.ns.netns, work);
  }
}

function keyOf(i: number): AttachmentKey {
  return { network: 'pods', containerId: `c${i}`, ifname: 'eth0' };
}

function vlanTest(title: string, work: (world: World) => void | Promise<void>): void {
  testUnless(test, without, title, () =>
    withNamespace((host) =>
      withNamespace((one) =>
        withNamespace(async (other) => {
          const runDir = mkdtempSync(join(tmpdir(), 'podlink-vlan-'));
          try {
            await work(new World(host, runDir, [one, other]));
          } finally {
            rmSync(runDir, { recursive: true });
          }
        }),
      ),
    ),
  );
}

const GATEWAYS = ['10.22.0.1', 'fd00:22::1'];
const VLAN = { vlan: 100 };

/** The other end of the gateway: ip(8) has its name, since it is in the same namespace. */
function portOf({ ns }: World): string {
  const [gateway] = ns.ipJson<{ link?: string }>('link', 'show', 'dev', 'cni0.100');
  if (gateway?.link === undefined) throw new Error('The gateway has no port');
  return gateway.link;
}

vlanTest('the first container of a VLAN gets a gateway in it, with the port in no other', (world) => {
  const attached = world.attach(0, VLAN);
  assert.equal(world.addresses('cni0.100'), GATEWAYS);
  assert.equal(refereedVlans(world.ns, portOf(world)), ['100 PVID Egress Untagged']);
  assert.is(world.ns.link(portOf(world)).linkinfo?.info_slave_data?.state, 'forwarding');
  assert.equal(attached.interfaces.map(({ name, sandbox }) => [name, sandbox !== undefined])[3], ['cni0.100', false]);
  assert.equal(world.check(0, VLAN, attached), []);
});

vlanTest('an ADD that fails takes addresses and gateway back that it made', async (world) => {
  const undo = new UndoStack();
  world.attach(0, VLAN, undo);
  await world.undo(undo);
  assert.equal([...world.ns.links().keys()], []);
});

vlanTest('an ADD that fails leaves addresses and gateway to a container that was attached meanwhile', async (world) => {
  const undo = new UndoStack();
  world.attach(0, VLAN, undo);
  const attached = world.attach(1, VLAN);
  await world.undo(undo);
  assert.equal(world.addresses('cni0.100'), GATEWAYS);
  assert.equal(world.check(1, VLAN, attached), []);
});

vlanTest('an ADD that fails takes its gateway back beside containers of other VLANs and of none', async (world) => {
  for (const other of [{ vlan: 200 }, { vlan: 200, isGateway: false }, { isGateway: false }]) {
    world.ns.ip('link', 'add', 'cni0', 'up', 'type', 'bridge', 'vlan_filtering', '1');
    const attached = world.attach(1, other);
    const undo = new UndoStack();
    world.attach(0, VLAN, undo);
    await world.undo(undo);
    assert.is(world.ns.links().has('cni0.100'), false, JSON.stringify(other));
    assert.equal(world.check(1, other, attached), []);
    for (const link of world.ns.links().keys()) world.ns.links().has(link) && world.ns.ip('link', 'del', link);
  }
});

vlanTest('an ADD without a VLAN that fails takes its address back beside containers of a VLAN', async (world) => {
  const attached = world.attach(1, VLAN);
  const undo = new UndoStack();
  world.attach(0, {}, undo);
  assert.equal(world.addresses('cni0'), GATEWAYS);
  await world.undo(undo);
  assert.equal(world.addresses('cni0'), []);
  assert.equal(world.check(1, VLAN, attached), []);
});

vlanTest('a trunk with the VLAN in it uses its gateway', async (world) => {
  const undo = new UndoStack();
  world.attach(0, VLAN, undo);
  world.attach(1, { vlanTrunk: [{ minID: 90, maxID: 110 }], isGateway: false });
  await world.undo(undo);
  assert.equal(world.addresses('cni0.100'), GATEWAYS);
});

vlanTest('ADD puts right what it finds of the gateway, and says what is not its own', (world) => {
  world.attach(0, VLAN);
  const port = portOf(world);
  for (const damage of [
    ['link', 'set', port, 'nomaster'],
    ['link', 'set', port, 'down'],
    ['link', 'set', 'cni0.100', 'down'],
    ['addr', 'flush', 'dev', 'cni0.100'],
    ['link', 'del', 'cni0'],
  ]) {
    world.ns.ip(...damage);
    const attached = world.attach(1, VLAN);
    assert.equal(world.check(1, VLAN, attached), [], damage.join(' '));
    assert.equal(refereedVlans(world.ns, port), ['100 PVID Egress Untagged']);
    world.ns.ip('link', 'del', attached.interfaces[1]?.name ?? '');
  }
  world.ns.ip('link', 'set', 'cni0.100', 'down');
  world.ns.ip('link', 'set', 'cni0.100', 'name', 'renamed');
  assert.throws(
    () => world.attach(1, VLAN),
    /"cni0\.100" .*its port "veth\w+" is there already, as the other end of another/,
  );
});

vlanTest('the gateway of a bridge with another default VLAN is in its own alone', (world) => {
  for (const id of ['0', '7', '100']) {
    world.ns.ip('link', 'add', 'cni0', 'up', 'type', 'bridge', 'vlan_filtering', '1', 'vlan_default_pvid', id);
    const config = { ...VLAN, preserveDefaultVlan: id === '7' };
    const attached = world.attach(0, config);
    assert.equal(refereedVlans(world.ns, portOf(world)), ['100 PVID Egress Untagged'], id);
    assert.equal(world.check(0, config, attached), []);
    for (const link of ['cni0', 'cni0.100', attached.interfaces[1]?.name ?? '']) world.ns.ip('link', 'del', link);
  }
});

vlanTest('repair puts the VLANs of a trunk back, and CHECK names them', (world) => {
  const config = { vlan: 100, vlanTrunk: [{ id: 5 }, { minID: 7, maxID: 9 }] };
  const attached = world.attach(0, config);
  const port = attached.interfaces[1]?.name ?? '';
  const wanted = ['5', '7', '8', '9', '100 PVID Egress Untagged'];
  assert.equal(refereedVlans(world.ns, port), wanted);
  world.ns.bridgeJson('vlan', 'del', 'vid', '7-9', 'dev', port);
  world.ns.bridgeJson('vlan', 'del', 'vid', '5', 'dev', port);
  world.ns.bridgeJson('vlan', 'add', 'vid', '20-21', 'dev', port);
  assert.equal(world.check(0, config, attached), [
    `host interface "${port}" is not in VLANs 5, 7-9 of bridge "cni0"`,
    `host interface "${port}" is in VLANs 20-21 of bridge "cni0", which the configuration does not name`,
  ]);
  world.repair(0, config, attached);
  assert.equal(refereedVlans(world.ns, port), wanted);
  assert.equal(world.check(0, config, attached), []);
});

vlanTest('a port that may keep the default VLAN is left in whatever else it is in', (world) => {
  const config = { ...VLAN, preserveDefaultVlan: true };
  const attached = world.attach(0, config);
  const port = attached.interfaces[1]?.name ?? '';
  world.ns.bridgeJson('vlan', 'add', 'vid', '20', 'dev', port);
  assert.equal(world.check(0, config, attached), []);
  world.repair(0, config, attached);
  assert.equal(refereedVlans(world.ns, port), ['1 Egress Untagged', '20', '100 PVID Egress Untagged']);
});

vlanTest('CHECK does not mind the MAC of a bridge that is not the gateway', (world) => {
  world.ns.ip('link', 'add', 'cni0', 'up', 'type', 'bridge', 'vlan_filtering', '1');
  const attached = world.attach(0, VLAN);
  world.ns.ip(
    'link',
    'add',
    'p0',
    'address',
    '02:00:00:00:00:01',
    'up',
    'master',
    'cni0',
    'type',
    'veth',
    'peer',
    'name',
    'p1',
  );
  assert.is(world.ns.link('cni0').address, '02:00:00:00:00:01');
  assert.equal(world.check(0, VLAN, attached), []);
});

test.run();
