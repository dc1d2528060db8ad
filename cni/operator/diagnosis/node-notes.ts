// How each thing that `doctor` may find wrong with a node may come; what to do about it is among its sentences.

import { diagnose as diagnoseAttachment } from '../../diagnosis/attachment-diagnosis.ts';
import type { Parts } from '../../diagnosis/diagnosis.ts';
import { advise, type NodeCode } from '../doctor/node-diagnosis.ts';
import { diagnose as diagnoseConfiguration } from '../validate/configuration-diagnosis.ts';

const DAMAGE = [diagnoseAttachment('rules-differ', { subject: 'masquerade', of: 'inet podlink' })];
const REFUSAL = [
  diagnoseConfiguration('value-refused', {
    subject: 'mtu',
    found: 'must be a whole number from 0 to 65535, is "1500"',
  }),
];
const CONFLIST = '/etc/cni/net.d/10-podlink.conflist';
const ATTACHMENT = 'interface "eth0" of container "c1" in network "pods"';
const FEATURES = ['nft_masq (CONFIG_NFT_MASQ)'];
const CHAIN = 'chain FORWARD of table ip filter';
const OBSTACLE = {
  subject: 'cni0',
  object: CHAIN,
  found: `${CHAIN} has policy drop, and drops what the containers send beyond this node (bridge "cni0", IPv4)`,
  remedy: advise('let it through with the commands of that firewall'),
};
const REDIRECT = {
  subject: '8080/tcp',
  object: 'IPv4',
  of: ATTACHMENT,
  found: 'chain PREROUTING of table ip nat',
  remedy: advise('publish another port, or take the rule away'),
};
const LINK = { of: '/opt/cni/bin', found: 'podlink-0.1.0' };
const UNWRITABLE = 'its file system is full';

export const NODE_EXAMPLES: Readonly<Record<NodeCode, Parts>> = {
  'part-unseen': { subject: 'firewall', found: 'EPERM', remedy: advise('run it as root') },
  'kernel-too-old': { expected: '5.7', found: '5.4.0' },
  'kernel-lacks-feature': { object: 'bridge mode', found: ['veth (CONFIG_VETH)'] },
  'kernel-lacks-feature-of-network': { subject: 'ipMasq', of: 'pods', found: FEATURES },
  'kernel-feature-unseen': { object: 'bandwidth limits', found: ['tbf', 'ifb'] },
  'forwarding-turned-off': { subject: 'net.ipv4.ip_forward', object: 'IPv4', of: ['pods'], found: '0' },
  'bridge-delays-ports': { subject: 'br0', found: 15 },
  'traffic-stopped': OBSTACLE,
  'node-traffic-stopped': OBSTACLE,
  'traffic-uncertain': OBSTACLE,
  'port-redirected': REDIRECT,
  'port-redirect-uncertain': REDIRECT,
  'legacy-iptables-unseen': { found: ['iptables-legacy -t filter -S'] },
  'own-rules-damaged': { causes: DAMAGE },
  'localhost-exposed': { subject: 'cni0', causes: DAMAGE },
  'localhost-exposed-by-leftover': { subject: 'cni0', causes: DAMAGE },
  'plugin-directories-missing': { subject: ['/opt/cni/bin'] },
  'podlink-not-installed': { subject: ['/opt/cni/bin', '/usr/lib/cni'] },
  'podlink-link-broken': { subject: '/opt/cni/bin/podlink', ...LINK },
  'loopback-link-broken': { subject: '/opt/cni/bin/loopback', ...LINK },
  'loopback-foreign': { subject: '/opt/cni/bin' },
  'loopback-foreign-with-sharing': { subject: '/opt/cni/bin', object: ['pods'] },
  'cni-version-too-new': { subject: 'pods', of: CONFLIST, expected: '1.0.0', found: '1.7.24' },
  'sysctls-set-in-host': {
    subject: ['pods'],
    object: ['enable_unprivileged_ports'],
    of: '/etc/containerd/config.toml',
    found: ['net.ipv4.ip_unprivileged_port_start'],
  },
  'configuration-refused': { subject: CONFLIST, object: 'plugins[0]', causes: REFUSAL },
  'configuration-doubtful': {
    subject: CONFLIST,
    object: 'plugins[0]',
    causes: [diagnoseConfiguration('text-empty', { subject: 'mac' })],
  },
  'network-of-host': {
    subject: CONFLIST,
    causes: [
      diagnoseConfiguration('subnet-routed-elsewhere', {
        subject: '10.1.0.0/24',
        found: 'network 10.1.0.0/24 of "cni0" overlaps route 10.1.0.0/16 of "eth0"',
      }),
    ],
  },
  'addresses-shared': { subject: 'a', object: 'b', found: '10.1.0.0/24' },
  'foreign-configuration-first': { subject: '/etc/cni/net.d/05-other.conflist' },
  'network-name-twice': { subject: 'pods', object: CONFLIST, found: ['/etc/cni/net.d/20-pods.conflist'] },
  'directory-unsafe': { subject: '/run/podlink', object: '/run/podlink', found: '"/run/podlink" is not of root alone' },
  'records-unwritable': { subject: '/run/podlink', found: UNWRITABLE },
  'reservations-unwritable': { subject: '/var/lib/cni/networks', found: UNWRITABLE },
  'directory-for-root': { subject: '/run/podlink', object: 'records' },
  'attachment-unfinished': { subject: ATTACHMENT },
  'attachment-stale': { subject: ATTACHMENT, object: '/run/netns/c1' },
  'attachment-stale-and-kept': {
    subject: ATTACHMENT,
    object: '/run/netns/c1',
    found: 'process 4711 (nginx) runs in its network namespace',
  },
  'attachment-damaged': { subject: ATTACHMENT, causes: [diagnoseAttachment('bridge-gone', { subject: 'cni0' })] },
  'attachment-lost-target': {
    subject: ATTACHMENT,
    causes: [diagnoseAttachment('target-gone', { subject: 'pod:shop/cart' })],
  },
  'records-unreadable': { found: ['/run/podlink/attachments/pods/c1.eth0.json'] },
  'range-nearly-full': { subject: '10.1.0.2-10.1.0.254', of: 'pods', expected: 253, found: 240 },
  'range-full': { subject: '10.1.0.2-10.1.0.254', of: 'pods', expected: 253, found: 253 },
  'reservations-of-nobody': { subject: 'pods', found: 2 },
  'files-astray': { subject: '/var/lib/cni/networks/pods', found: ['notes.txt (not a file of this directory)'] },
};
