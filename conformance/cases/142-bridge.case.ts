// Bad configuration of the bridge, of masquerading, of modes and of capabilities: each key refused by its name.

import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';

const { test, run } = cases('bad bridge configuration', { shared: true });
const OURS = { absent: 'the code and the text of the error; it accepts some of these' } as const;

const key = (what: string, config: BadInput['config'], says: RegExp, code = 7): BadInput => ({
  what,
  code,
  says,
  config: config ?? {},
});

const FLAGS = [
  'isGateway',
  'isDefaultGateway',
  'forceAddress',
  'hairpinMode',
  'promiscMode',
  'portIsolation',
  'enabledad',
  'disableContainerInterface',
  'preserveDefaultVlan',
  'ipMasq',
  'macspoofchk',
  'icc',
  'internal',
];

test('a flag that is neither true nor false is refused by name', OURS, (host) => {
  const values = ['yes', 1, 'true', [], {}];
  const rows = FLAGS.map((flag, i) =>
    key(flag, { [flag]: values[i % values.length] }, new RegExp(`"${flag}": must be true or false, is `)),
  );
  mustRefuseEach(host, host.addContainer(), rows);
});

test('keys of the bridge are refused by name, with what they must be', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    key('bridge is a number', { bridge: 5 }, /"bridge": must be a string, is 5/),
    ...['', 'a/b', 'a:b', 'a b', '..', 'cni%d', 'a'.repeat(16)].map((bridge) =>
      key(`bridge ${JSON.stringify(bridge)}`, { bridge }, /"bridge": must be an interface name of 1 to 15 bytes/),
    ),
    key('mtu is a text', { mtu: '1500' }, /"mtu": must be a whole number from 0 to 65535, is "1500"/),
    key('mtu is negative', { mtu: -1 }, /"mtu".*is -1/),
    key('mtu has a fraction', { mtu: 1500.5 }, /"mtu".*is 1500\.5/),
    key('mtu is too large', { mtu: 65536 }, /"mtu".*is 65536/),
    key('mtu is too small', { mtu: 67 }, /"mtu": must be 0 or at least 68, is 67/),
    key('hairpin and promisc', { hairpinMode: true, promiscMode: true }, /"promiscMode".*"hairpinMode"/),
    key('interface down, with ipam', { disableContainerInterface: true }, /"disableContainerInterface".*"ipam"/),
    key('vlan is negative', { vlan: -1 }, /"vlan": must be a whole number from 0 to 4094, is -1/),
    key('vlan is too large', { vlan: 4095 }, /"vlan".*is 4095/),
    key('vlan is a text', { vlan: '7' }, /"vlan".*is "7"/),
    key('vlanTrunk is no list', { vlanTrunk: { id: 5 } }, /"vlanTrunk": must be a list/),
    key('vlanTrunk of numbers', { vlanTrunk: [5] }, /"vlanTrunk\[0\]": must be an object, is 5/),
    key('trunk id 0', { vlanTrunk: [{ id: 0 }] }, /"vlanTrunk\[0\]\.id".*from 1 to 4094/),
    key('trunk maxID', { vlanTrunk: [{ id: 5 }, { minID: 1, maxID: 4095 }] }, /"vlanTrunk\[1\]\.maxID".*is 4095/),
    key('trunk without maxID', { vlanTrunk: [{ minID: 5 }] }, /"vlanTrunk\[0\]\.maxID": must be given together/),
    key('trunk without minID', { vlanTrunk: [{ maxID: 5 }] }, /"vlanTrunk\[0\]\.minID": must be given together/),
    key('trunk upside down', { vlanTrunk: [{ minID: 9, maxID: 5 }] }, /"vlanTrunk\[0\]\.minID": must not be greater/),
    key('empty trunk', { vlanTrunk: [{}] }, /"vlanTrunk\[0\]": must hold "id"/),
    key('backend', { ipMasqBackend: 'ebtables' }, /"ipMasqBackend": must be one of "iptables", "nftables"/),
    key('backend is a number', { ipMasqBackend: 1 }, /"ipMasqBackend".*is 1/),
  ]);
});

test('a MAC address that cannot be one is refused where it stands', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    key('capability', { runtimeConfig: { mac: '02:00:00' } }, /"runtimeConfig\.mac": must be a unicast MAC/),
    key('capability is a number', { runtimeConfig: { mac: 2 } }, /"runtimeConfig\.mac": must be a string, is 2/),
    key('args', { args: { cni: { mac: 'ff:ff:ff:ff:ff:ff' } } }, /"args\.cni\.mac": must be a unicast MAC/),
    key('args, zeros', { args: { cni: { mac: '00:00:00:00:00:00' } } }, /"args\.cni\.mac".*00:00:00:00:00:00/),
  ]);
});

/** An entry of portMappings, of which something is wrong. */
const port = (what: string, entry: object, says: RegExp): BadInput =>
  key(`port: ${what}`, { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }, entry] } }, says);

test('port mappings that cannot be are refused by their place', OURS, (host) => {
  const good = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
  const at = (name: string): string => `"runtimeConfig\\.portMappings\\[1\\]\\.${name}"`;
  const says = (name: string, rest: string): RegExp => new RegExp(`${at(name)}: ${rest}`);
  mustRefuseEach(host, host.addContainer(), [
    key('no list', { runtimeConfig: { portMappings: {} } }, /"runtimeConfig\.portMappings": must be a list/),
    key(
      'not of objects',
      { runtimeConfig: { portMappings: [80] } },
      /"runtimeConfig\.portMappings\[0\]": must be an object/,
    ),
    port(
      'host port too large',
      { ...good, hostPort: 70000 },
      says('hostPort', 'must be a whole number from 0 to 65535'),
    ),
    port('negative', { ...good, hostPort: -1 }, says('hostPort', '.*is -1')),
    port('a text', { ...good, hostPort: '8080' }, says('hostPort', '.*is "8080"')),
    port('container port 0', { ...good, containerPort: 0 }, says('containerPort', 'must be .* from 1 to 65535, is 0')),
    port('container port missing', { hostPort: 8080 }, says('containerPort', '.*is missing')),
    port('protocol', { ...good, protocol: 'icmp' }, says('protocol', 'must be one of "tcp", "udp", "sctp", is "icmp"')),
    port('hostIP is a name', { ...good, hostIP: 'localhost' }, says('hostIP', 'must be an IP address, is "localhost"')),
    port('hostIP with a prefix', { ...good, hostIP: '10.0.0.1/8' }, says('hostIP', 'must be an IP address')),
    key('hostBindingIPv4 is IPv6', { hostBindingIPv4: '::' }, /"hostBindingIPv4": must be an IPv4 address, is "::"/),
    key('hostBindingIPv4 is a name', { hostBindingIPv4: 'eth0' }, /"hostBindingIPv4".*is "eth0"/),
  ]);
});

/** Keys of bandwidth, at the top level, where the operator writes them, or as a runtime passes them. */
const limit = (what: string, keys: object, says: RegExp): BadInput => key(`limit: ${what}`, { ...keys }, says);

test('bandwidth limits that cannot be are refused by name', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    limit('no object', { runtimeConfig: { bandwidth: 5 } }, /"runtimeConfig\.bandwidth": must be an object/),
    limit(
      'negative',
      { runtimeConfig: { bandwidth: { ingressRate: -1 } } },
      /"runtimeConfig\.bandwidth\.ingressRate".*is -1/,
    ),
    limit('a text', { egressRate: '1M' }, /"egressRate": must be a whole number.*is "1M"/),
    limit(
      'burst alone',
      { runtimeConfig: { bandwidth: { egressBurst: 8000 } } },
      /"runtimeConfig\.bandwidth\.egressRate": must be given/,
    ),
    limit('below a byte', { ingressRate: 7 }, /"ingressRate": must be 0 or at least 8 bits a second, is 7/),
    limit('no CIDR', { ingressRate: 8000, unshapedSubnets: ['10.0.0.1'] }, /"unshapedSubnets\[0\]": must be a CIDR/),
    limit(
      'both lists',
      { ingressRate: 8000, unshapedSubnets: ['10.0.0.0/8'], shapedSubnets: ['11.0.0.0/8'] },
      /"shapedSubnets": cannot be given together with "unshapedSubnets"/,
    ),
  ]);
});

test('isolation that the mode cannot give is refused by name', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    key('internal is a text', { internal: 'true' }, /"internal": must be true or false, is "true"/),
    key('icc is a number', { icc: 0 }, /"icc": must be true or false, is 0/),
    key(
      'an exclusion',
      { ipMasq: true, ipMasqExclude: ['10.0.0.0'] },
      /"ipMasqExclude\[0\]": must be a network such as/,
    ),
    key('exclusions are a text', { ipMasqExclude: '10.0.0.0/8' }, /"ipMasqExclude": must be a list/),
  ]);
});

test('modes and who may choose them are refused by name', OURS, (host) => {
  const override = (entry: object) => ({ overrides: [entry] });
  mustRefuseEach(host, host.addContainer(), [
    key('mode', { mode: 'overlay' }, /"mode": must be one of "bridge", "host", "container", "none", is "overlay"/),
    key('mode is a number', { mode: 1 }, /"mode".*is 1/),
    key('mode in capitals', { mode: 'Host' }, /"mode".*is "Host"/),
    key('target is a number', { mode: 'container', target: 1 }, /"target": must be a string/),
    key('target', { mode: 'container', target: 'pod:x' }, /"target": must be "infra", "pod:NAMESPACE\/NAME"/),
    key('relative path', { mode: 'container', target: 'netns:x' }, /"target".*"netns:x"/),
    key('allowModes', { allowModes: 'host' }, /"allowModes": must be a list/),
    key('allowModes, a word', { allowModes: ['bridge', 'hosts'] }, /"allowModes\[1\]".*is "hosts"/),
    key('overrides', { overrides: {} }, /"overrides": must be a list/),
    key('override without pod', override({ mode: 'host' }), /"overrides\[0\]\.pod": must be a pattern/),
    key('override without mode', override({ pod: 'a/b' }), /"overrides\[0\]\.mode": must be one of/),
    key('override of a name alone', override({ pod: 'b', mode: 'host' }), /"overrides\[0\]\.pod"/),
    key('override with a wrong mode', override({ pod: 'a/b', mode: 'x' }), /"overrides\[0\]\.mode".*is "x"/),
    { ...key('the pod asks', {}, /MODE in CNI_ARGS.*does not let a pod choose/, 4), call: { args: 'MODE=host' } },
    { ...key('the pod asks for nonsense', {}, /MODE in CNI_ARGS.*must be one of.*"x"/, 4), call: { args: 'MODE=x' } },
    key('args.cni.mode', { args: { cni: { mode: 'host' } } }, /args\.cni\.mode.*does not let a pod choose/, 4),
  ]);
});

run();
