// STATUS: could an ADD be served now? (CNI spec, section 2, "STATUS")

import { mkdirSync, accessSync, constants } from 'node:fs';
import { CniError, ERR_PLUGIN_NOT_AVAILABLE, toCniError } from '../protocol/errors.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import type { Context } from './context.ts';
import { planRequest } from './plan.ts';

/** Stand-in for the attachment that an ADD would be about: only the configuration is judged. */
const NOBODY = { containerId: 'status', ifname: 'eth0' };

/** Throws FieldError or CniError 7 for a configuration that no ADD could use, CniError 50 when an ADD would fail now. */
export function status(request: NetworkRequest, context: Context): void {
  const { config } = request;
  const key = { network: config.name, ...NOBODY };
  const { steps, ipam } = planRequest({ ...request, key, args: new Map() }, context);
  ipam?.prepare();
  try {
    mkdirSync(context.runDir, { recursive: true, mode: 0o700 });
    accessSync(context.runDir, constants.W_OK);
    steps.status(context);
    ipam?.status();
  } catch (error) {
    const { message, details, code } = toCniError(error);
    if (code === ERR_PLUGIN_NOT_AVAILABLE) throw error;
    throw new CniError(ERR_PLUGIN_NOT_AVAILABLE, `Network "${config.name}" cannot serve ADD: ${message}`, details, {
      cause: error,
    });
  }
}
