// CHECK: is the attachment still as ADD left it? (CNI spec, section 2, "CHECK")

import { checkMasquerade, parseMasquerade } from '../features/masquerade.ts';
import type { Attached } from '../modes/mode.ts';
import { modeOf } from '../modes/mode-registry.ts';
import { CniError, ERR_CHECK_FAILED, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { describeKey, keyOf } from './attachment-key.ts';
import type { Context } from './context.ts';
import { findIpam } from './ipam.ts';
import { withNftables } from './removal.ts';
import { closeSandbox, openSandbox } from './sandbox.ts';

/** Look at everything ADD made. Throws CniError 101 that lists all that is wrong. Changes nothing. */
export function check(request: AttachmentRequest, context: Context): void {
  const { config } = request;
  const key = keyOf(request);
  const ipam = findIpam({ ...request, key, cniArgs: request.args, env: context.env });
  const plan = modeOf(config.fields).plan({ key, config, cniArgs: request.args, hasIpam: ipam !== undefined });
  const isMasqueraded = parseMasquerade(config.fields, context.warn);
  const expected = config.prevResult();
  if (!expected)
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      'Required prevResult missing: CHECK compares with what ADD returned',
    );
  const addresses = ownAddresses(expected, key.ifname);
  const sandbox = openSandbox(request);
  try {
    const problems = plan.check(context, sandbox, expected);
    if (isMasqueraded) problems.push(...withNftables((nft) => checkMasquerade(nft, key, addresses)));
    if (ipam) {
      try {
        ipam.check(addresses);
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

/** Addresses of the interface; other plugins of the chain may have added interfaces with addresses of their own. */
function ownAddresses(expected: Attached, ifname: string): string[] {
  return expected.ips
    .filter((ip) => {
      const owner = ip.interface === undefined ? undefined : expected.interfaces[ip.interface];
      return owner === undefined || (owner.name === ifname && Boolean(owner.sandbox));
    })
    .map(({ address }) => address);
}
