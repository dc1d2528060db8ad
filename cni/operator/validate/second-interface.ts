// Lists in which another plugin makes the container's interface beside podlink: a container has but one of a name.

import { diagnose } from './configuration-diagnosis.ts';
import { DEFAULT_MODE, hasTrait } from '../../modes/mode-registry.ts';
import { isObject } from '../../protocol/fields.ts';
import { error, type Fault, valueAt } from './fault.ts';

/** Plugins that make an interface, by their types: the reference ones, and those of well-known networks. */
const INTERFACE_PLUGINS = [
  ...['bridge', 'ptp', 'macvlan', 'ipvlan', 'vlan', 'host-device', 'dummy', 'tap'],
  ...['sriov', 'ovs', 'ib-sriov', 'flannel', 'calico', 'weave-net', 'aws-cni', 'azure-vnet', 'kube-ovn'],
];

/** Tell of each such plugin, with its place. */
export function findSecondInterfaces(plugins: readonly unknown[]): (Fault & { readonly place: string })[] {
  const types = plugins.map((entry) => (isObject(entry) ? entry.type : undefined));
  const ours = types.indexOf('podlink');
  const own = plugins[ours];
  const mode = isObject(own) ? (valueAt(own, 'mode') ?? DEFAULT_MODE.name) : undefined;
  if (!hasTrait(mode, 'hasOwnInterface')) return [];
  return types.flatMap((type, i) =>
    typeof type === 'string' && INTERFACE_PLUGINS.includes(type)
      ? [
          {
            ...error(diagnose('interface-made-twice', { subject: type, of: `plugins[${ours}]` })),
            place: `plugins[${i}]`,
          },
        ]
      : [],
  );
}
