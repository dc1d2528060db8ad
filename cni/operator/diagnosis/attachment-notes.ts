// The remedies for all that may be wrong with an attachment.

import type { AttachmentCode, AttachmentDiagnosis } from '../../diagnosis/attachment-diagnosis.ts';
import type { Remedy } from '../../diagnosis/diagnosis.ts';
import { type Note, note } from './note.ts';

const REPAIR: Remedy = { sentence: 'make it again what ADD made of it:', commands: ['podlink repair'] };
const COLLECT: Remedy = {
  sentence: "the runtime's DEL or GC removes the attachment, or this:",
  commands: ['podlink gc'],
};
const RECREATE = 'recreate the container: in a namespace that is shared, or another one now, nothing is repaired';
const READ = 'see what the message says';

const TABLE = 'inet podlink';
const ELEMENT = { subject: '10.1.0.2', object: 'masquerade_v4', of: TABLE };
const GATEWAY_PORT = { subject: 'vethc0ffee00123', of: 'cni0.5' };

export const ATTACHMENT_NOTES: Readonly<Record<AttachmentCode, Note>> = {
  'add-unfinished': note({
    sentence: 'the next ADD or DEL removes what it left, or this:',
    commands: ['podlink repair'],
  }),
  'namespace-changed': note(RECREATE, { subject: '/run/netns/c1' }),
  'namespace-gone': note(COLLECT, { subject: '/run/netns/c1' }),
  'owner-gone': note(COLLECT),
  'interface-vanished': note('look again: a DEL has come in between', {
    found: 'Cannot list addresses of "eth0": ENODEV',
  }),
  'look-failed': note(READ, { subject: 'interface "eth0" of container "c1" in network "pods"', found: 'EACCES' }),
  'address-management-failed': note('recreate the container, which gets an address anew', {
    found: 'No address is reserved for container "c1"',
  }),
  'repair-failed': note(READ, { found: 'Cannot add link "veth0": EEXIST' }),

  'bridge-gone': note(REPAIR, { subject: 'cni0' }),
  'bridge-name-is-alternative': note('write the name of the interface into "bridge"', {
    subject: 'lan',
    expected: 'br0',
  }),
  'bridge-is-no-bridge': note('remove or rename what has its name, then run `podlink repair`', { subject: 'cni0' }),
  'bridge-down': note(REPAIR, { subject: 'cni0' }),
  'bridge-mac-differs': note(REPAIR, { subject: 'cni0', expected: '02:00:00:00:00:01', found: '02:00:00:00:00:02' }),
  'bridge-not-filtering': note(REPAIR, { subject: 'cni0' }),
  'bridge-learns-link-local': note(REPAIR, { subject: 'cni0' }),
  'gateway-address-gone': note(REPAIR, { subject: 'cni0', object: '10.1.0.1' }),
  'forwarding-off': note('see to what turned it off (/etc/sysctl.d), then run `podlink repair`', { subject: 'IPv4' }),
  'localhost-unreached': note(REPAIR, { subject: 'cni0', expected: '1', found: '0' }),
  'vlan-gateway-gone': note(REPAIR, { subject: 'cni0.5', object: 5 }),
  'vlan-gateway-not-veth': note('remove or rename what has its name, then run `podlink repair`', {
    subject: 'cni0.5',
    object: 5,
  }),
  'vlan-gateway-down': note(REPAIR, { subject: 'cni0.5' }),
  'vlan-gateway-mac-differs': note(REPAIR, {
    subject: 'cni0.5',
    expected: '02:00:00:00:00:01',
    found: '02:00:00:00:00:02',
  }),
  'vlan-gateway-port-gone': note('remove the gateway, then run `podlink repair`', { subject: 'cni0.5' }),
  'vlan-gateway-port-down': note(REPAIR, GATEWAY_PORT),
  'vlan-gateway-port-not-on-bridge': note(REPAIR, { ...GATEWAY_PORT, object: 'cni0' }),
  'vlan-gateway-port-vlan-missing': note(REPAIR, { ...GATEWAY_PORT, object: 'cni0', expected: 'VLAN 5' }),
  'vlan-gateway-port-vlan-differs': note(REPAIR, {
    ...GATEWAY_PORT,
    object: 'cni0',
    expected: 'without a tag both ways',
    found: 'VLAN 5',
  }),
  'vlan-gateway-port-vlan-stray': note(REPAIR, { ...GATEWAY_PORT, object: 'cni0', found: 'VLAN 1' }),

  'host-end-gone': note('recreate the container: with one end of a veth pair the other is gone', { subject: 'veth0' }),
  'host-end-down': note(REPAIR, { subject: 'veth0' }),
  'host-end-mtu-differs': note(REPAIR, { subject: 'veth0', expected: 1400, found: 1500 }),
  'host-end-not-on-bridge': note(REPAIR, { subject: 'veth0', object: 'cni0' }),
  'host-end-vlan-missing': note(REPAIR, { subject: 'veth0', object: 'cni0', expected: 'VLANs 5, 7-9' }),
  'host-end-vlan-differs': note(REPAIR, {
    subject: 'veth0',
    object: 'cni0',
    expected: 'with a tag',
    found: 'VLAN 5',
  }),
  'host-end-vlan-stray': note(REPAIR, { subject: 'veth0', object: 'cni0', found: 'VLAN 1' }),
  'port-not-forwarding': note(REPAIR, { subject: 'veth0' }),
  'port-setting-differs': note(REPAIR, { subject: 'veth0', object: 'hairpinMode', expected: true, found: false }),

  'interface-gone': note('recreate the container: what was in its namespace cannot be made again', {
    subject: 'eth0',
    of: '/run/netns/c1',
  }),
  'interface-not-veth': note('recreate the container', { subject: 'eth0' }),
  'interface-other-end-differs': note('recreate the container', { subject: 'eth0', expected: 'veth0' }),
  'interface-down': note(REPAIR, { subject: 'eth0' }),
  'interface-mtu-differs': note(REPAIR, { subject: 'eth0', expected: 1400, found: 1500 }),
  'interface-mtu-too-large': note(REPAIR, { subject: 'eth0', object: 'veth0', expected: 1400, found: 1500 }),
  'interface-unreported': note('have the runtime hand CHECK the result that ADD returned', { subject: 'eth0' }),
  'interface-mac-differs': note('put the MAC address back, or recreate the container', {
    subject: 'eth0',
    expected: '02:00:00:00:00:01',
    found: '02:00:00:00:00:02',
  }),
  'interface-not-promiscuous': note(REPAIR, { subject: 'eth0' }),
  'interface-not-all-multicast': note(REPAIR, { subject: 'eth0' }),
  'interface-queue-length-differs': note(REPAIR, { subject: 'eth0', expected: 1000, found: 500 }),
  'sandbox-differs': note('have the runtime hand CHECK the result that ADD returned, and its CNI_NETNS', {
    subject: 'eth0',
    expected: '/run/netns/c1',
    found: '/run/netns/c2',
  }),
  'address-gone': note(REPAIR, { subject: 'eth0', object: '10.1.0.2/24' }),
  'route-gone': note(REPAIR, { subject: 'eth0', object: 'route 0.0.0.0/0 via 10.1.0.1' }),
  'sysctl-gone': note('take the sysctl out of the configuration, or recreate the container', {
    subject: 'net.ipv4.conf.eth0.rp_filter',
  }),
  'sysctl-differs': note(REPAIR, { subject: 'net.core.somaxconn', expected: '1024', found: '4096' }),

  'loopback-down': note(REPAIR, { subject: 'lo', of: '/run/netns/c1' }),
  'target-gone': note(RECREATE, { subject: 'pod:shop/cart' }),
  'target-namespace-unseen': note(RECREATE, { subject: '/run/netns/c1', expected: 'pod:shop/cart' }),
  'host-namespace-unseen': note(RECREATE, { subject: '/run/netns/c1' }),

  'root-qdisc-differs': note(REPAIR, { subject: 'veth0', expected: 'tbf 1:', found: 'noqueue 0:' }),
  'bandwidth-differs': note(REPAIR, { subject: 'veth0', object: 'rate', expected: 125000, found: 250000 }),
  'ifb-gone': note(REPAIR, { subject: 'ifb0123456789ab' }),
  'ifb-down': note(REPAIR, { subject: 'ifb0123456789ab' }),
  'clsact-qdisc-gone': note(REPAIR, { subject: 'veth0' }),
  'filters-gone': note(REPAIR, { subject: 'veth0', expected: 4, found: 3 }),
  'filters-out-of-order': note(REPAIR, { subject: 'veth0' }),

  'kernel-part-missing': note('run a kernel built with it, or put its module where modprobe finds it', {
    found: ['nft_masq (CONFIG_NFT_MASQ)'],
  }),
  'table-gone': note(REPAIR, { subject: TABLE }),
  'table-differs': note(REPAIR, { subject: TABLE }),
  'set-gone': note(REPAIR, { subject: 'masquerade_v4', of: TABLE }),
  'set-differs': note('remove the set, with which the elements of all attachments go, then run `podlink repair`', {
    subject: 'masquerade_v4',
    of: TABLE,
  }),
  'chain-gone': note(REPAIR, { subject: 'masquerade', of: TABLE }),
  'chain-differs': note(REPAIR, { subject: 'masquerade', of: TABLE }),
  'rules-differ': note(REPAIR, { subject: 'masquerade', of: TABLE }),
  'element-gone': note(REPAIR, ELEMENT),
  'element-differs': note(REPAIR, { ...ELEMENT, found: '10.1.0.2 . 10.1.0.0-10.1.0.255' }),
  'element-is-anothers': note(
    '`podlink attachment ls` shows who has the same address or port: recreate one of them',
    ELEMENT,
  ),
  'more-elements-differ': note(REPAIR, { found: 100 }),
};

/** A diagnosis with what helps, for programs. */
export function withRemedy(diagnosis: AttachmentDiagnosis): AttachmentDiagnosis {
  return { ...diagnosis, remedy: ATTACHMENT_NOTES[diagnosis.code].remedy };
}
