// An attachment as a feature meets it, for tests of one feature.

import type { AttachedInterface, ConnectedAttachment } from '../../attachment/attachment.ts';
import { NO_UNDO } from '../../attachment/undo-stack.ts';
import type { Netns } from '../../kernel/netns.ts';
import type { FeatureHost } from '../feature.ts';

/** No namespace: opening or entering it fails. */
const NOWHERE: Netns = { path: '', fd: -1, device: 0n, inode: 0n, close: () => undefined };

/** Put the interface of an attachment on a host, in a container's namespace. */
export function connected(own: AttachedInterface, host: FeatureHost, netns: Netns = NOWHERE): ConnectedAttachment {
  return {
    ...own,
    host: { mark: () => undefined, ...host },
    sandbox: { path: netns.path, netns },
    objects: {},
    undo: NO_UNDO,
  };
}
