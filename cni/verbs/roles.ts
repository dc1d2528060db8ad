// What the executable can be, by the name it is run as or by the configuration's `type`.

import { findIpamDriver } from '../../ipam/registry.ts';
import type { AttachmentRequest, NetworkRequest } from '../protocol/request.ts';
import type { Result } from '../protocol/result.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import type { Context } from './context.ts';
import { del } from './del.ts';
import { gc } from './gc.ts';
import { ipamRole } from './ipam-role.ts';
import { addLoopback, checkLoopback } from './loopback.ts';
import { status } from './status.ts';

/** A plugin: one function a verb. They throw CniError, or an error that
 * toCniError() knows. Only what may have to ask other machines (IPAM on etcd) makes a call wait. */
export interface Role {
  add(request: AttachmentRequest, context: Context): Result | Promise<Result>;
  del(request: AttachmentRequest, context: Context): void | Promise<void>;
  check(request: AttachmentRequest, context: Context): void | Promise<void>;
  gc(request: NetworkRequest, context: Context): void | Promise<void>;
  status(request: NetworkRequest, context: Context): void | Promise<void>;
}

const nothing = () => undefined;

const podlink: Role = { add, del, check, gc, status };

const loopback: Role = {
  add: addLoopback,
  // `lo` stays as it is: see loopback.ts.
  del: nothing,
  check: checkLoopback,
  gc: nothing,
  status: nothing,
};

/** The role of that name; undefined when the name is nobody's. */
export function findRole(name: string): Role | undefined {
  if (name === 'podlink') return podlink;
  if (name === 'loopback') return loopback;
  const driver = findIpamDriver(name);
  return driver && ipamRole(driver);
}

/**
 * The role for a call. The name the executable was run as counts if it is a role's; else (a copy under another name)
 * the configuration's `type`, which is not read before; else it is the plugin.
 */
export function chooseRole(programName: string, type: () => string): Role {
  return findRole(programName) ?? findRole(type()) ?? podlink;
}
