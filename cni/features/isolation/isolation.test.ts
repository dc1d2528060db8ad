import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeElement } from '../../kernel/nftables/element.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { Feature, NftablesState } from '../feature.ts';
import { isolationFeature } from './isolation.ts';
import { ISOLATION_RULESET } from './isolation-ruleset.ts';
import { macspoofFeature } from './macspoof.ts';
import { MACSPOOF_RULESET } from './macspoof-ruleset.ts';

const test = suite('isolation');
const ATTACHMENT: AttachedInterface = {
  key: { network: 'pods', containerId: 'c1', ifname: 'eth0' },
  bridge: 'cni0',
  gateway: 'cni0',
  hostInterface: 'veth0123456789a',
  mac: '02:00:00:00:00:05',
  addresses: ['10.22.0.5/16', 'fd00::5/64'],
};

interface Planned {
  readonly state: NftablesState | undefined;
  readonly warnings: readonly string[];
}

function plan(feature: Feature, keys: object, mode = 'bridge', attachment = ATTACHMENT): Planned {
  const warnings: string[] = [];
  const accepted = feature.plan({
    key: ATTACHMENT.key,
    config: parseNetworkConfig(JSON.stringify({ name: 'pods', ...keys })),
    cniArgs: new Map(),
    mode,
    isConfigured: true,
    hasOwnInterface: mode !== 'host',
    hasBridge: mode === 'bridge',
    sharesNamespace: mode === 'host',
    warn: (message) => warnings.push(message),
  });
  return { state: accepted?.nftables?.(attachment), warnings };
}

function elementsOf({ state }: Planned): string[] | undefined {
  return state?.elements.map((element) => `${element.set.name} ${describeElement(element)}`);
}

const INTERNAL = [
  'isolation_internal_v4 "cni0" . 10.22.0.5',
  'isolation_internal_v6 "cni0" . fd00::5',
  'isolation_internal_macs "cni0" . 02:00:00:00:00:05',
];
const ICC = [
  'isolation_icc_v4 "cni0" . 10.22.0.5',
  'isolation_self_v4 10.22.0.5 . 02:00:00:00:00:05 . 10.22.0.5',
  'isolation_direct_v4 10.22.0.5 . 02:00:00:00:00:05',
  'isolation_icc_v6 "cni0" . fd00::5',
  'isolation_self_v6 fd00::5 . 02:00:00:00:00:05 . fd00::5',
  'isolation_direct_v6 fd00::5 . 02:00:00:00:00:05',
];
const MACSPOOF = ['macspoof_ports "veth0123456789a"', 'macspoof_macs "veth0123456789a" . 02:00:00:00:00:05'];

test('isolation is no matter unless the configuration asks for it', () => {
  for (const keys of [{}, { icc: true, internal: false, macspoofchk: false }, { icc: null, internal: null }]) {
    for (const feature of [isolationFeature, macspoofFeature]) {
      assert.equal(plan(feature, keys), { state: undefined, warnings: [] });
    }
  }
});

test('icc: false are three elements an address, and does not ask for the MAC check', () => {
  const planned = plan(isolationFeature, { icc: false });
  assert.equal(elementsOf(planned), ICC);
  assert.equal(planned.state?.rulesets, [ISOLATION_RULESET]);
  assert.is(plan(macspoofFeature, { icc: false }).state, undefined);
});

test('internal is an element an address and one for the MAC, which is checked', () => {
  assert.equal(elementsOf(plan(isolationFeature, { internal: true })), INTERNAL);
  const planned = plan(macspoofFeature, { internal: true });
  assert.equal(elementsOf(planned), MACSPOOF);
  assert.equal(planned.state?.rulesets, [MACSPOOF_RULESET]);
});

test('both together are the elements of both', () => {
  assert.equal(
    elementsOf(plan(isolationFeature, { icc: false, internal: true }))?.toSorted(),
    [...ICC, ...INTERNAL].toSorted(),
  );
});

test('macspoofchk is the same with internal and without', () => {
  assert.equal(elementsOf(plan(macspoofFeature, { macspoofchk: true })), MACSPOOF);
  assert.equal(elementsOf(plan(macspoofFeature, { macspoofchk: true, internal: true })), MACSPOOF);
  assert.is(plan(isolationFeature, { macspoofchk: true }).state, undefined);
});

test('in a VLAN the gateway is an interface of its own', () => {
  const { state } = plan(isolationFeature, { icc: false, internal: true }, 'bridge', {
    ...ATTACHMENT,
    gateway: 'cni0.100',
  });
  const names = state?.elements.map(describeElement).filter((key) => key.startsWith('"'));
  assert.equal(new Set(names?.map((key) => key.split(' ')[0])), new Set(['"cni0.100"']));
});

test('an address with two networks is one element', () => {
  const attachment = { ...ATTACHMENT, addresses: ['10.22.0.5/16', '10.22.0.5/24'] };
  assert.is(elementsOf(plan(isolationFeature, { icc: false }, 'bridge', attachment))?.length, 3);
});

test('a container without addresses is isolated by its MAC', () => {
  const attachment = { ...ATTACHMENT, addresses: [] };
  assert.equal(elementsOf(plan(isolationFeature, { internal: true }, 'bridge', attachment)), INTERNAL.slice(2));
});

test('a mode without an interface of its own has nothing to isolate, one without a bridge is refused', () => {
  const all = { icc: false, internal: true, macspoofchk: true };
  for (const feature of [isolationFeature, macspoofFeature]) assert.is(plan(feature, all, 'host').state, undefined);
  assert.throws(
    () => plan(isolationFeature, { icc: false }, 'macvlan'),
    /Invalid "icc": can be false only in mode "bridge", not in "macvlan"/,
  );
  assert.throws(() => plan(isolationFeature, { internal: true }, 'macvlan'), /Invalid "internal": can be true only/);
  assert.throws(
    () => plan(macspoofFeature, { macspoofchk: true }, 'macvlan'),
    /Invalid "macspoofchk": can be true only/,
  );
});

test('what comes to nothing with internal is said, and nothing is without it', () => {
  const keys = {
    ipMasq: true,
    isDefaultGateway: true,
    runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] },
  };
  const { warnings } = plan(isolationFeature, { ...keys, internal: true });
  assert.equal(
    warnings.map((warning) => warning.split(' ')[0]),
    ['"ipMasq"', '"isDefaultGateway"', '"runtimeConfig.portMappings"'],
  );
  assert.equal(plan(isolationFeature, { internal: true, ipMasq: false, isGateway: true }).warnings, []);
  assert.equal(plan(isolationFeature, { ...keys, icc: false }).warnings, []);
});

test('a key with a wrong value is named', () => {
  assert.throws(() => plan(isolationFeature, { icc: 'no' }), /Invalid "icc": must be true or false, is "no"/);
  assert.throws(() => plan(isolationFeature, { internal: 1 }), /Invalid "internal": must be true or false, is 1/);
  assert.throws(() => plan(macspoofFeature, { macspoofchk: 'yes' }), /Invalid "macspoofchk": must be true or false/);
});

test('an attachment that is on no bridge cannot be isolated', () => {
  const attachment = { ...ATTACHMENT, bridge: undefined, gateway: undefined, hostInterface: undefined };
  assert.throws(() => plan(isolationFeature, { icc: false }, 'bridge', attachment), /without a bridge/);
  assert.throws(() => plan(macspoofFeature, { macspoofchk: true }, 'bridge', attachment), /without a port/);
});

test.run();
