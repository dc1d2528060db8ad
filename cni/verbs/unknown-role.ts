// The role for a name that is no role: a link to podlink in the place of another plugin, or a `type` that is not podlink's.
//
// DEL is special. libcni calls the plugins of a list from the last to the first and stops at an error, so after an ADD that
// was refused under this name, a DEL that fails would keep the plugins before it from taking away what they have made.

import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { keyOf } from './attachment-key.ts';
import { findRecord } from './attachment-record.ts';
import type { Context } from './context.ts';
import { del } from './del.ts';
import type { Role } from './role.ts';
import { ROLE_ROWS } from './role-names.ts';

/** Every verb throws CniError 7, DEL only where something may be left. `origin`: where the name comes from. */
export function unknownRole(name: string, origin: string): Role {
  const refuse = (consequence = ''): never => {
    const names = ROLE_ROWS.map((row) => row.name).join(', ');
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      `podlink is no "${name}", ${origin}: it answers to ${names}.${consequence} Put the plugin "${name}" in the place of this link to podlink, or write "type": "podlink"`,
    );
  };
  return {
    add: () => refuse(),
    check: () => refuse(),
    gc: () => refuse(),
    status: () => refuse(),
    async del(request, context) {
      if (wasServedAs(name, request, context)) await del(request, context);
      else if (request.config.fields.get('prevResult') !== undefined) {
        refuse(` What "${name}" has made may be left of this container.`);
      } else context.warn(`podlink is no "${name}", ${origin}: this DEL removes nothing`);
    },
  };
}

/** Whether an ADD under this name made the attachment, as podlink 0.1.0 did under any name. */
function wasServedAs(name: string, request: AttachmentRequest, context: Context): boolean {
  return findRecord(context.runDir, keyOf(request))?.config.type === name;
}
