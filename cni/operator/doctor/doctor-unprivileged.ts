// Two sysctls that containerd 2 has set in the namespace of every pod, unless its configuration says otherwise. Of a pod in
// mode host that is the host's: runc refuses to start it, and crun sets them in the host, where they stay.

import { findMode } from '../../modes/mode-registry.ts';
import type { Call } from '../cli/command.ts';
import { CONTAINERD_CONFIG_OPTION, type ContainerdConfig, containerdConfigOf } from '../install/containerd-config.ts';
import { askContainerdVersion } from '../install/containerd-version.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

const subject = 'runtime';

const OPTIONS = [
  ['enable_unprivileged_ports', 'enableUnprivilegedPorts', 'net.ipv4.ip_unprivileged_port_start'],
  ['enable_unprivileged_icmp', 'enableUnprivilegedIcmp', 'net.ipv4.ping_group_range'],
] as const;

export async function examineUnprivileged(call: Call, networks: readonly Network[]): Promise<Finding[]> {
  const sharing = networks.filter(mayShareHost).map(({ name }) => name);
  if (sharing.length === 0) return [];
  // A configuration that was named may be another node's.
  const isNamed = call.valueOf(CONTAINERD_CONFIG_OPTION.name) !== undefined;
  const version = isNamed ? undefined : await askContainerdVersion();
  const major = version === undefined ? undefined : Number.parseInt(version, 10);
  return findingsOfUnprivileged(containerdConfigOf(call, { major }), major, sharing);
}

/**
 * Tell of the options that are on. Without a version of containerd, its configuration's tells what is the default: only
 * containerd 2 reads version 3. `sharing`: the networks that put pods into the host's network.
 */
export function findingsOfUnprivileged(
  config: ContainerdConfig | undefined,
  major: number | undefined,
  sharing: readonly string[],
): Finding[] {
  if (config === undefined && major === undefined) return [];
  const isDefault = major === undefined ? (config?.version ?? 0) >= 3 : major >= 2;
  const active = OPTIONS.filter(([, key]) => config?.[key] ?? isDefault);
  const file = config?.files[0] ?? '/etc/containerd/config.toml';
  if (active.length === 0) {
    return [{ level: 'ok', subject, what: 'containerd sets no sysctls in pods that are in the network of the host' }];
  }
  const parts = {
    subject: sharing,
    object: active.map(([option]) => option),
    of: file,
    found: active.map(([, , sysctl]) => sysctl),
  };
  return [finding('fail', subject, 'sysctls-set-in-host', parts)];
}

/** Whether a pod of the network may get into the host's network. */
function mayShareHost({ config, records }: Network): boolean {
  if (records.some(({ mode }) => isHostMode(mode))) return true;
  const [mode, allowed, overrides] = ['mode', 'allowModes', 'overrides'].map((key) => config?.fields.get(key));
  return [mode, allowed, overrides].flat().some((value) => isHostMode(value) || isHostEntry(value));
}

function isHostEntry(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'mode' in value && isHostMode(value.mode);
}

function isHostMode(name: unknown): boolean {
  return typeof name === 'string' && findMode(name)?.sharesHost === true;
}
