// STATUS: could an ADD be served now? (CNI spec, section 2, "STATUS")

import { refuseUnservedProtection } from '../features/firewall/unserved-protection.ts';
import {
  CniError,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_LIMITED_CONNECTIVITY,
  ERR_PLUGIN_NOT_AVAILABLE,
  toCniError,
} from '../protocol/errors.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import { ensureRecordsWritable } from '../attachment/record-store.ts';
import type { Context } from './context.ts';
import { refuseMissingParts } from './missing-part.ts';
import { planRequest } from './plan.ts';
import { sourceOfNetwork } from './plan-source.ts';

/** Stand-in for the attachment that an ADD would be about: only the configuration is judged. */
const NOBODY = { containerId: 'status', ifname: 'eth0' };

/** Throws FieldError or CniError 7 for a configuration that no ADD could use, CniError 50 when an ADD would fail now. */
export async function status(request: NetworkRequest, context: Context): Promise<void> {
  const { config } = request;
  refuseUnservedProtection(config.fields);
  const { steps, ipam, features } = planRequest(sourceOfNetwork(request, context, NOBODY), context);
  await asUnavailable(config.name, async () => {
    // IPAM first, since it is what may have something against the configuration yet. It is not asked to prepare an ADD:
    // that comes with ranges of the runtime's, of which STATUS is told nothing.
    await ipam?.status();
    ensureRecordsWritable(context.runDir);
    steps.status(context);
    // ifb and tbf show only when they are asked to be made.
    refuseMissingParts(
      context,
      features.map(({ feature }) => feature),
    );
  });
}

/** What STATUS may answer; a foreign IPAM plugin may have answered it already. */
const AS_THEY_ARE = new Set([ERR_PLUGIN_NOT_AVAILABLE, ERR_LIMITED_CONNECTIVITY, ERR_INVALID_NETWORK_CONFIG]);

/** Run what finds out whether ADD could be served. Throws CniError 7, 50 and 51 as they are, anything else as CniError 50. */
export async function asUnavailable(network: string, work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { message, details, code } = toCniError(error);
    if (AS_THEY_ARE.has(code)) throw error;
    throw new CniError(ERR_PLUGIN_NOT_AVAILABLE, `Network "${network}" cannot serve ADD: ${message}`, details, {
      cause: error,
    });
  }
}
