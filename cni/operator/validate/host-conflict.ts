// Networks of configurations that the host has a way to already, by another link: what ADD warns of when it makes the
// bridge, told before.

import { formatCidr } from '../../address/ip.ts';
import { type ConfigurationDiagnosis, diagnose } from './configuration-diagnosis.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { openRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { describeConflict, findConflicts } from '../../modes/interface/network-conflict.ts';
import type { BridgedNetwork } from './shared-subnet.ts';

/** Say which networks overlap with routes and addresses of this host, by their files. A bridge's own are none. */
export function findHostConflicts(
  networks: readonly BridgedNetwork[],
): { file: string; diagnosis: ConfigurationDiagnosis }[] {
  const routed = networks.filter(({ hasGateway }) => hasGateway);
  if (routed.length === 0) return [];
  const route = openRtnetlink();
  try {
    return routed.flatMap(({ file, bridge, ranges }) => {
      const link = { name: bridge, index: findLink(route, bridge)?.index ?? 0 };
      const subnets = ranges.map(({ subnet }) => formatCidr(subnet));
      return findConflicts(route, link, subnets).map((conflict) => ({
        file,
        diagnosis: diagnose('subnet-routed-elsewhere', {
          subject: conflict.network,
          found: describeConflict(link, conflict),
        }),
      }));
    });
  } finally {
    route.close();
  }
}
