// The host's end of an attachment's veth pair, also when somebody has renamed it.

import { findLink, type Link, listLinks } from '../kernel/rtnetlink/link/link.ts';
import { hostInterfaceName, wholeHostInterfaceAlias } from '../attachment/marks.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { Context } from './context.ts';

/** Find it by its name, or by its alias among all links. `recorded`: its name by the record. Undefined when it is gone. */
export function findHostEnd(context: Context, key: AttachmentKey, recorded?: string): Link | undefined {
  const named = findLink(context.route, recorded ?? hostInterfaceName(key));
  if (named?.kind === 'veth') return named;
  const alias = wholeHostInterfaceAlias(key);
  if (alias === undefined) return undefined;
  return listLinks(context.route).find((link) => link.kind === 'veth' && link.alias === alias);
}
