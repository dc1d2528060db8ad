// A plugin, as the process calls it: one function a verb.

import type { AttachmentRequest, NetworkRequest } from '../protocol/request.ts';
import type { Result } from '../protocol/result/result.ts';
import type { Context } from '../verbs/context.ts';

/**
 * A plugin: one function a verb. They throw CniError, or an error that toCniError() knows. Only what may have to ask other
 * machines (IPAM on etcd) makes a call wait.
 */
export interface Role {
  add(request: AttachmentRequest, context: Context): Result | Promise<Result>;
  del(request: AttachmentRequest, context: Context): void | Promise<void>;
  check(request: AttachmentRequest, context: Context): void | Promise<void>;
  gc(request: NetworkRequest, context: Context): void | Promise<void>;
  status(request: NetworkRequest, context: Context): void | Promise<void>;
}
