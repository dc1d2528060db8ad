// A plugin, as the process calls it: one function a verb.

import type { AttachmentRequest, NetworkRequest } from '../protocol/request.ts';
import type { Context } from '../verbs/context.ts';

/**
 * A plugin: one function a verb. They throw CniError, or an error that toCniError() knows. Only what may have to ask other
 * machines (IPAM on etcd) makes a call wait.
 */
export interface Role {
  /** Returns the result as text, in the version of the configuration. */
  add(request: AttachmentRequest, context: Context): string | Promise<string>;
  del(request: AttachmentRequest, context: Context): void | Promise<void>;
  check(request: AttachmentRequest, context: Context): void | Promise<void>;
  gc(request: NetworkRequest, context: Context): void | Promise<void>;
  status(request: NetworkRequest, context: Context): void | Promise<void>;
}
