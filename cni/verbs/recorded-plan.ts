// An attachment without a runtime that asks about it: everything its record tells of how it was made.

import { parseCniArgs } from '../protocol/args.ts';
import { type AttachmentKey, parseNetworkConfig } from '../protocol/config.ts';
import type { Result } from '../protocol/result/result.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { type Plan, planRequest } from './plan.ts';

export interface RecordedPlan {
  readonly key: AttachmentKey;
  readonly plan: Plan;
  /** What ADD returned of its own; empty when it did not come to its end. */
  readonly expected: Result;
}

/** The plan of an attachment on record. `path`: where foreign IPAM plugins are. Throws what planRequest() throws. */
export function planOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): RecordedPlan {
  const { network, containerId, ifname, netns, cniArgs, result } = record;
  const key = { network, containerId, ifname };
  const stdin = JSON.stringify(record.config);
  // A foreign IPAM plugin is told of the attachment by the environment.
  const env = {
    ...context.env,
    CNI_CONTAINERID: containerId,
    CNI_IFNAME: ifname,
    CNI_NETNS: netns,
    CNI_ARGS: cniArgs,
  };
  const source = { key, config: parseNetworkConfig(stdin), args: parseCniArgs(cniArgs), netns, path, stdin, env };
  const { interfaces = [], ips = [], routes = [], dns = {} } = result ?? {};
  return {
    key,
    plan: planRequest(source, context),
    // A chained plugin may have set another MTU since: only the configuration's own counts.
    expected: { interfaces: interfaces.map(({ mtu: _, ...known }) => known), ips: [...ips], routes: [...routes], dns },
  };
}
