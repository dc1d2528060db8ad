import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs } from '../../protocol/args.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { toCniError } from '../../protocol/errors.ts';
import { type BridgeConfig, parseBridgeConfig } from './config.ts';

const test = suite('bridge configuration');

function parse(config: object, args = '', hasIpam = false): BridgeConfig {
  const stdin = JSON.stringify({ cniVersion: '1.1.0', name: 'pods', type: 'podlink', ...config });
  return parseBridgeConfig({
    key: { network: 'pods', containerId: 'c1', ifname: 'eth0' },
    config: parseNetworkConfig(stdin),
    cniArgs: parseCniArgs(args),
    hasIpam,
    selected: { mode: 'bridge', target: undefined, isPodsChoice: false, allowed: [] },
    findPeers: () => [],
  });
}

test('parseBridgeConfig() has the reference plugin’s defaults', () => {
  assert.equal(parse({}), {
    bridge: 'cni0',
    isGateway: false,
    isDefaultGateway: false,
    forceAddress: false,
    hairpinMode: false,
    promiscMode: false,
    portIsolation: false,
    enabledad: false,
    disableContainerInterface: false,
    mtu: undefined,
    mac: undefined,
    vlan: 0,
    vlanTrunk: [],
    preserveDefaultVlan: false,
    isInternal: false,
    isPublishing: false,
  });
});

const accepted: [title: string, config: object, args: string, expected: Partial<BridgeConfig>][] = [
  ['keys in any case', { BRIDGE: 'br0', IsGateway: true }, '', { bridge: 'br0', isGateway: true }],
  ['isDefaultGateway as a gateway', { isDefaultGateway: true }, '', { isGateway: true, isDefaultGateway: true }],
  ['MTU 0 as the kernel’s default', { mtu: 0 }, '', { mtu: undefined }],
  ['null as absent', { bridge: null, mtu: null }, '', { bridge: 'cni0', mtu: undefined }],
  ['a MAC of CNI_ARGS', {}, 'MAC=02:00:00:00:00:AA', { mac: '02:00:00:00:00:aa' }],
  [
    'args.cni before CNI_ARGS',
    { args: { cni: { mac: '02:00:00:00:00:01' } } },
    'MAC=02:00:00:00:00:02',
    { mac: '02:00:00:00:00:01' },
  ],
  [
    'the capability before both',
    { runtimeConfig: { mac: '02:00:00:00:00:03' }, args: { cni: { mac: '02:00:00:00:00:01' } } },
    'MAC=02:00:00:00:00:02',
    { mac: '02:00:00:00:00:03' },
  ],
  [
    'trunks sorted and each once',
    { vlanTrunk: [{ minID: 5, maxID: 7 }, { id: 6 }, { id: 2 }] },
    '',
    { vlanTrunk: [2, 5, 6, 7] },
  ],
  ["an isolated port for Docker's icc", { icc: false }, '', { portIsolation: true }],
  ['the configuration’s own mac', { mac: '02:00:00:00:00:04' }, '', { mac: '02:00:00:00:00:04' }],
  ['args.cni.mtu before mtu', { mtu: 1500, args: { cni: { mtu: 1400 } } }, '', { mtu: 1400 }],
  ['no isolation', { icc: true }, '', { portIsolation: false }],
];

for (const [title, config, args, expected] of accepted) {
  test(`parseBridgeConfig() takes ${title}`, () => {
    const parsed = parse(config, args);
    for (const [key, value] of Object.entries(expected)) assert.equal(parsed[key as keyof BridgeConfig], value, key);
  });
}

const refused: [config: object, code: number, message: RegExp, args?: string, hasIpam?: boolean][] = [
  [{ bridge: 5 }, 7, /"bridge": must be a string/],
  [{ bridge: '' }, 7, /"bridge": must be an interface name/],
  [{ bridge: 'a/b' }, 7, /"bridge": must be an interface name/],
  [{ bridge: 'br%d' }, 7, /"bridge": must be an interface name/],
  [{ bridge: 'sixteen-bytes-xx' }, 7, /"bridge": must be an interface name/],
  [{ isGateway: 'yes' }, 7, /"isGateway": must be true or false/],
  [{ hairpinMode: 1 }, 7, /"hairpinMode": must be true or false/],
  [{ hairpinMode: true, promiscMode: true }, 7, /"promiscMode": cannot be true together with "hairpinMode"/],
  [{ mtu: -1 }, 7, /"mtu": must be a whole number from 0 to 65535/],
  [{ mtu: 67 }, 7, /"mtu": must be 0 or at least 68/],
  [{ mtu: 65536 }, 7, /"mtu"/],
  [{ mtu: 1500.5 }, 7, /"mtu"/],
  [{ mtu: '1500' }, 7, /"mtu": must be a whole number/],
  [{ vlan: 4095 }, 7, /"vlan": must be a whole number from 0 to 4094/],
  [{ vlan: -1 }, 7, /"vlan"/],
  [{ vlanTrunk: {} }, 7, /"vlanTrunk": must be a list/],
  [{ vlanTrunk: [5] }, 7, /"vlanTrunk\[0\]": must be an object/],
  [{ vlanTrunk: [{}] }, 7, /"vlanTrunk\[0\]": must hold/],
  [{ vlanTrunk: [{ id: 0 }] }, 7, /"vlanTrunk\[0\].id"/],
  [{ vlanTrunk: [{ minID: 5 }] }, 7, /"vlanTrunk\[0\].maxID": must be given together/],
  [{ vlanTrunk: [{ maxID: 5 }] }, 7, /"vlanTrunk\[0\].minID": must be given together/],
  [{ vlanTrunk: [{ minID: 6, maxID: 5 }] }, 7, /"vlanTrunk\[0\].minID": must not be greater/],
  [{ disableContainerInterface: true }, 7, /"disableContainerInterface".*"ipam"/, '', true],
  [{ runtimeConfig: { mac: 'x' } }, 7, /"runtimeConfig.mac": must be a unicast MAC/],
  [{ args: { cni: { mac: '01:00:00:00:00:00' } } }, 7, /"args.cni.mac"/],
  [{}, 4, /MAC in CNI_ARGS/, 'MAC=00:00:00:00:00:00'],
];

for (const [config, code, message, args, hasIpam] of refused) {
  test(`parseBridgeConfig() refuses ${JSON.stringify(config)} ${args ?? ''}`, () => {
    try {
      parse(config, args, hasIpam);
    } catch (error) {
      const cniError = toCniError(error);
      assert.is(cniError.code, code);
      assert.match(cniError.message, message);
      return;
    }
    assert.unreachable();
  });
}

test.run();
