// The remedies for all that may be wrong with a configuration, or with a place of `install`.

import type { PlaceCode } from '../install/place-diagnosis.ts';
import type { ConfigurationCode } from '../validate/configuration-diagnosis.ts';
import { type Note, note } from './note.ts';

const READ = 'see what the message says';
const EDGE = { subject: 'ipam.ranges[0][0].rangeStart', of: '10.1.0.0/24', found: '10.1.0.0' };
const OTHER_SUBNET = 'give one of the networks another subnet';

export const CONFIGURATION_NOTES: Readonly<Record<ConfigurationCode, Note>> = {
  'file-missing': note('correct the name'),
  'file-not-regular': note('take it out of the directory'),
  'file-is-directory': note('name the files in it, or the directory alone'),
  'file-unreadable': note('see what keeps it from being read', { found: 'EACCES: permission denied' }),
  'link-broken': note('remove the link, or put the file there', { found: '/etc/cni/pods.conflist' }),
  'link-circular': note('remove the link'),
  'not-json': note('correct it at the place that the message names', { found: 'not JSON: line 3, column 5' }),
  'not-an-object': note('begin the file with `{`', { found: '[]' }),
  'key-twice': note('remove one of the two', { subject: 'plugins[0].mtu' }),
  'plugins-missing': note('put the plugins into "plugins"', { found: '[]' }),
  'plugin-not-an-object': note('write the plugin as an object with a "type"', { found: '"podlink"' }),
  'plugin-type-missing': note('write the name of the plugin into "type"', { found: 'missing' }),
  'plugin-type-misspelled': note('correct the name', { expected: 'podlink', found: 'podlnk' }),
  'ending-of-single-plugin': note('rename the file to end in .conf, or write a list'),
  'ending-of-list': note('rename the file to end in .conflist'),
  'ending-unknown': note('rename the file, unless no runtime is meant to read it'),
  'name-unusable': note('give the network another name', { found: '"my net"' }),
  'versions-unusable': note('write a list of versions, or remove the key', { found: '"1.0.0"' }),
  'version-missing': note('write `"cniVersion": "1.0.0"`, or "1.1.0" where the runtime speaks it'),
  'version-unsupported': note('write one of them', { expected: ['1.0.0', '1.1.0'], found: '"2.0.0"' }),

  'value-refused': note('write a value of the kind that the message names; cni/docs/keys.md has all keys', {
    subject: 'mtu',
    found: 'must be a whole number from 0 to 65535, is "1500"',
  }),
  'entry-refused': note(READ, { found: 'Conflicting options: "icc" and "internal"' }),
  'entry-warned-of': note(READ, { found: '"egressBurst" is less than a packet' }),
  'key-unknown': note('correct the key, or remove it', { subject: 'bridg', expected: 'bridge' }),
  'key-in-two-spellings': note('remove one of them', { subject: ['mtu', 'MTU'] }),
  'key-unused': note('remove the key, or choose a mode that has a use for it', {
    subject: ['target'],
    object: ['bridge'],
  }),
  'key-of-runtime': note('remove the key', { subject: 'runtimeConfig' }),
  'text-empty': note('remove the key, or write a value', { subject: 'mac' }),
  'data-dir-empty': note('remove the key, or write a directory', { subject: 'ipam.dataDir' }),
  'ipam-type-empty': note('write a type, or remove "ipam"', { subject: 'ipam.type' }),
  'host-mode-allowed': note('remove it from "allowModes", and name the pods in "overrides"', { object: 'host' }),
  'kernel-lacks-feature-of-key': note(
    "run a kernel built with it, or take the key out; --no-kernel leaves this machine's out",
    { subject: 'vlan', found: ['bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)'] },
  ),

  'capability-foreign': note('remove it here, and declare it with the plugin that has it', {
    subject: 'infinibandGUID',
  }),
  'capability-unknown': note('correct the name, or remove it', { subject: 'portmappings', expected: 'portMappings' }),
  'capability-undeclared': note('declare the capability', { subject: 'dns', expected: 'dns' }),
  'annotations-undeclared': note('declare the capability', { expected: 'io.kubernetes.cri.pod-annotations' }),
  'addresses-missing': note('write "addresses", or declare the capability "ips"'),
  'rate-missing': note('write a rate, or declare the capability "bandwidth"', { subject: 'unshapedSubnets' }),

  'network-address-handed-out': note('begin the range with the next address', EDGE),
  'broadcast-address-handed-out': note('end the range with the address before', {
    ...EDGE,
    subject: 'ipam.ranges[0][0].rangeEnd',
    found: '10.1.0.255',
  }),
  'anycast-address-handed-out': note('begin the range with the next address', {
    ...EDGE,
    of: 'fd00:1::/64',
    found: 'fd00:1::',
  }),
  'mtu-too-small': note('write a larger "mtu", or give no IPv6 addresses', { expected: 1280, found: 1000 }),
  'gateway-out-of-reach': note('write a gateway of the subnet, or a route to it with scope 253', {
    subject: 'ipam.ranges[0][0].gateway',
    of: '10.1.0.0/24',
    found: '10.2.0.1',
  }),
  'ipam-plugin-unseen': note('install it where the runtime looks for plugins', { subject: 'dhcp' }),
  'ipam-plugin-missing': note('install it there, or correct the name', {
    subject: 'host-locl',
    of: ['/opt/cni/bin'],
    expected: 'host-local',
  }),

  'podlink-twice': note('remove one of them'),
  'work-doubled': note('take it from one of them, or the other plugin out of the list', {
    subject: 'portmap',
    object: 'maps the ports',
    of: 'plugins[0]',
    found: 'the capability "portMappings"',
  }),
  'interface-made-twice': note('take one of them out, or make two networks of them', {
    subject: 'macvlan',
    of: 'plugins[0]',
  }),
  'subnet-routed-elsewhere': note('give the network another subnet', {
    subject: '10.1.0.0/24',
    found: 'network 10.1.0.0/24 of "cni0" overlaps route 10.1.0.0/16 of "eth0"',
  }),
  'addresses-shared-on-bridge': note(OTHER_SUBNET, {
    subject: 'b',
    object: ['a', 'a.conflist'],
    of: 'cni0',
    found: ['10.1.0.0/24', '10.1.0.0/16'],
  }),
  'subnet-shared-by-bridges': note(OTHER_SUBNET, {
    subject: 'b',
    object: ['a', 'a.conflist'],
    of: ['br1', 'br0'],
    found: ['10.1.0.0/24', '10.1.0.0/16'],
  }),
};

const PLUGIN = '/opt/cni/bin/loopback';
const CONFLIST = '/etc/cni/net.d/10-podlink.conflist';
const FORCE = 'use --force, which keeps it beside, or move it away';

export const PLACE_NOTES: Readonly<Record<PlaceCode, Note>> = {
  'plugin-foreign': note(FORCE, { subject: PLUGIN, object: `${PLUGIN}.before-podlink` }),
  'configuration-foreign': note(FORCE, { subject: CONFLIST, object: `${CONFLIST}.before-podlink` }),
  'kept-name-taken': note('move one of them away', { subject: PLUGIN, object: `${PLUGIN}.before-podlink` }),
  'kept-file-changed': note('see whether it is what you want there, and rename it', {
    subject: PLUGIN,
    object: `${PLUGIN}.before-podlink`,
  }),
  'plugin-changed': note('remove it yourself, if it is not needed', {
    subject: PLUGIN,
    object: `${PLUGIN}.before-podlink`,
  }),
  'configuration-changed': note('delete it, unless another plugin serves its network', { subject: CONFLIST }),
};
