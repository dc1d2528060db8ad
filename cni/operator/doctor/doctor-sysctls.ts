// Settings of the network namespace that decide whether containers reach anything.

import { hasTrait } from '../../modes/mode-registry.ts';
import { findSysctl } from '../../kernel/sysctl.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { addressesOf } from '../listing/attachment-list.ts';
import type { Call } from '../cli/command.ts';
import { type Finding, finding } from './finding.ts';
import { hasGateway, type Network } from '../listing/network-list.ts';

/** What findSysctl() does; tests have their own. */
export type ReadSysctl = (key: readonly string[]) => string | undefined;

export function examineSysctls(_call: Call, networks: readonly Network[]): Finding[] {
  return findingsOfSysctls(networks, findSysctl);
}

export function findingsOfSysctls(networks: readonly Network[], read: ReadSysctl): Finding[] {
  return [
    examineForwarding(networks, read, 4),
    examineForwarding(networks, read, 6),
    examineBridgeNetfilter(read),
    examineReversePath(read),
  ];
}

function examineForwarding(networks: readonly Network[], read: ReadSysctl, family: 4 | 6): Finding {
  const key = family === 4 ? ['ipv4', 'ip_forward'] : ['ipv6', 'conf', 'all', 'forwarding'];
  const name = `net.${key.join('.')}`;
  const value = read(key);
  const subject = 'sysctl';
  if (value === undefined) {
    return { level: 'ok', subject, what: `there is no ${name}: IPv${family} is turned off in this kernel` };
  }
  if (value !== '0') return { level: 'ok', subject, what: `${name} = ${value}: the node forwards` };
  const routed = networks.filter((network) => isRouted(network, family));
  if (routed.length === 0) {
    return { level: 'ok', subject, what: `${name} = 0: the first container with a gateway turns it on` };
  }
  const parts = { subject: name, object: `IPv${family}`, of: routed.map((network) => network.name), found: value };
  return finding('fail', subject, 'forwarding-turned-off', parts);
}

/** Whether a network has containers that the node forwards for; what ranges are there for others to come does not count. */
function isRouted(network: Network, family: 4 | 6): boolean {
  const { config, records } = network;
  const isInternal = config?.fields.get('internal') === true;
  const isOfFamily = (record: AttachmentRecord): boolean =>
    addressesOf(record).some(({ address }) => address.includes(':') === (family === 6));
  return (
    hasGateway(network) &&
    !isInternal &&
    records.some((record) => hasTrait(record.mode, 'hasBridge') && isOfFamily(record))
  );
}

function examineBridgeNetfilter(read: ReadSysctl): Finding {
  const values = ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'].map((key) => read(['bridge', key]));
  const subject = 'sysctl';
  if (values.every((value) => value === undefined)) {
    return {
      level: 'ok',
      subject,
      what: 'br_netfilter is not loaded: traffic between containers of a bridge passes no rules of iptables',
      meaning:
        "kube-proxy in iptables mode needs it (modprobe br_netfilter) for a service whose pods are the client's neighbours",
    };
  }
  const [v4 = 'absent', v6 = 'absent'] = values;
  const isOn = values.some((value) => value === '1');
  return {
    level: 'ok',
    subject,
    what: `net.bridge.bridge-nf-call-iptables = ${v4}, bridge-nf-call-ip6tables = ${v6}: traffic between containers of a bridge passes ${isOn ? 'the rules of iptables and nftables too' : 'no rules of iptables'}`,
  };
}

function examineReversePath(read: ReadSysctl): Finding {
  const value = read(['ipv4', 'conf', 'all', 'rp_filter']) ?? '0';
  const what = `net.ipv4.conf.all.rp_filter = ${value}`;
  if (value !== '1') return { level: 'ok', subject: 'sysctl', what };
  return {
    level: 'ok',
    subject: 'sysctl',
    what: `${what}: strict`,
    meaning:
      'a packet that comes in by another way than its answer would go is dropped: of concern to containers with several networks (2 is looser)',
  };
}
