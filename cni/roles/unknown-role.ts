// The role for a name that is no role: a link to podlink in the place of another plugin, or a `type` that is not podlink's.
//
// DEL is special. libcni calls the plugins of a list from the last to the first and stops at an error, so after an ADD that
// was refused under this name, a DEL that fails would keep the plugins before it from taking away what they have made.

import { findLink } from '../kernel/rtnetlink/link/link.ts';
import { hostInterfaceAlias } from '../attachment/marks.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { keyOf } from '../attachment/key.ts';
import type { Context } from '../verbs/context.ts';
import { del, findTrustedRecord } from '../verbs/del.ts';
import { findHostEnd } from '../verbs/host-end.ts';
import type { Role } from './role.ts';
import { ROLE_ROWS } from './role-names.ts';

/** Every verb throws CniError 7, DEL only where something of another plugin is left. `origin`: where the name comes from. */
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
      // A copy of podlink in the place of an IPAM plugin holds no address, and its caller has locked the attachment.
      if (request.config.fields.object('ipam')?.string('type') === name) {
        context.warn(`podlink is no "${name}", ${origin}: it holds no address of this container, and releases none`);
        return;
      }
      if (!isOurs(name, request, context) && isSomethingLeft(request, context)) {
        refuse(` What "${name}" has made may be left of this container.`);
      }
      context.warn(`podlink is no "${name}", ${origin}: this DEL removes what is podlink's, and nothing else`);
      await del(request, context);
    },
  };
}

/** Whether an ADD under this name made the attachment, as podlink 0.1.0 did under any name: its record or its mark says so. */
function isOurs(name: string, request: AttachmentRequest, context: Context): boolean {
  const key = keyOf(request);
  return (
    findTrustedRecord(key, context)?.config.type === name ||
    findHostEnd(context, key)?.alias === hostInterfaceAlias(key)
  );
}

/** Whether a veth that prevResult names is still on the host: another plugin has made it. */
function isSomethingLeft({ config }: AttachmentRequest, context: Context): boolean {
  let reported: readonly string[];
  try {
    reported = (config.prevResult()?.interfaces ?? []).filter(({ sandbox }) => !sandbox).map(({ name }) => name);
  } catch {
    return true; // prevResult is torn, and tells of something
  }
  return reported.some((name) => findLink(context.route, name)?.kind === 'veth');
}
