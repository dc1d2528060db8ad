// An attachment without a runtime that asks about it: everything its record tells of how it was made.

import type { AttachmentRecord } from '../attachment/record.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { Result } from '../protocol/result/result.ts';
import type { Context } from './context.ts';
import { type Plan, planRequest } from './plan.ts';
import { sourceOfRecord } from './plan-source.ts';

export interface RecordedPlan {
  readonly key: AttachmentKey;
  readonly plan: Plan;
  /** What ADD returned of its own; empty when it did not come to its end. */
  readonly expected: Result;
}

/** The plan of an attachment on record. `path`: where foreign IPAM plugins are. Throws what planRequest() throws. */
export function planOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): RecordedPlan {
  const source = sourceOfRecord(record, context, path);
  const { interfaces = [], ips = [], routes = [], dns = {} } = record.result ?? {};
  return {
    key: source.key,
    plan: planRequest(source, context),
    // A chained plugin may have set another MTU since: only the configuration's own counts.
    expected: { interfaces: interfaces.map(({ mtu: _, ...known }) => known), ips: [...ips], routes: [...routes], dns },
  };
}
