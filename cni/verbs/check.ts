// CHECK: is the attachment still as ADD left it? (CNI spec, section 2, "CHECK")

import { checkMasquerade } from '../features/masquerade.ts';
import { CniError, ERR_CHECK_FAILED, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { ipsOf } from '../protocol/result.ts';
import { describeKey, keyOf } from './attachment-key.ts';
import { findRecord } from './attachment-record.ts';
import type { Context } from './context.ts';
import { planRequest } from './plan.ts';
import { withNftables } from './removal.ts';
import { closeSandbox, openSandbox } from './sandbox.ts';

/** Look at everything ADD made. Throws CniError 101 that lists all that is wrong. Changes nothing. */
export function check(request: AttachmentRequest, context: Context): void {
  const { config } = request;
  const key = keyOf(request);
  const { steps, ipam, isMasqueraded } = planRequest({ ...request, key }, context);
  const expected = config.prevResult();
  if (!expected)
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      'Required prevResult missing: CHECK compares with what ADD returned',
    );
  const ips = ipsOf(expected, key.ifname);
  const addresses = ips.map(({ address }) => address);
  // In host mode CNI_NETNS is meant to be our own namespace; the record says so.
  const isShared = findRecord(context.runDir, key)?.objects.sharedNetns !== undefined;
  const sandbox = openSandbox({ ...request, netnsOverride: request.netnsOverride || isShared });
  try {
    const problems = steps.check(context, sandbox, expected);
    if (isMasqueraded && addresses.length > 0)
      problems.push(...withNftables((nft) => checkMasquerade(nft, key, addresses)));
    if (ipam) {
      try {
        ipam.check(ips);
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (problems.length > 0) {
      throw new CniError(ERR_CHECK_FAILED, `CHECK of ${describeKey(key)} failed: ${problems.join('; ')}`);
    }
  } finally {
    closeSandbox(sandbox);
  }
}
