// STATUS: could an ADD be served now? (CNI spec, section 2, "STATUS")

import { mkdirSync, accessSync, constants } from 'node:fs';
import { parseMasquerade } from '../features/masquerade.ts';
import { modeOf } from '../modes/mode-registry.ts';
import { CniError, ERR_PLUGIN_NOT_AVAILABLE, toCniError } from '../protocol/errors.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import type { Context } from './context.ts';
import { findIpam } from './ipam.ts';

/** Stand-in for the attachment that an ADD would be about: only the configuration is judged. */
const NOBODY = { containerId: 'status', ifname: 'eth0' };

/** Throws FieldError or CniError 7 for a configuration that no ADD could use, CniError 50 when an ADD would fail now. */
export function status(request: NetworkRequest, context: Context): void {
  const { config } = request;
  const key = { network: config.name, ...NOBODY };
  const ipam = findIpam({ ...request, key, cniArgs: new Map(), env: context.env });
  const plan = modeOf(config.fields).plan({ key, config, cniArgs: new Map(), hasIpam: ipam !== undefined });
  parseMasquerade(config.fields, context.warn);
  ipam?.prepare();
  try {
    mkdirSync(context.runDir, { recursive: true, mode: 0o700 });
    accessSync(context.runDir, constants.W_OK);
    plan.status(context);
    ipam?.status();
  } catch (error) {
    const { message, details, code } = toCniError(error);
    if (code === ERR_PLUGIN_NOT_AVAILABLE) throw error;
    throw new CniError(ERR_PLUGIN_NOT_AVAILABLE, `Network "${config.name}" cannot serve ADD: ${message}`, details, {
      cause: error,
    });
  }
}
