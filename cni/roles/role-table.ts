// The plugins that the executable can be (role-names.ts has their names), and which of them a call is for.

import { etcdIpam } from '../../ipam/etcd/etcd.ts';
import { hostLocal } from '../../ipam/local/host-local.ts';
import { staticIpam } from '../../ipam/local/static.ts';
import { add } from '../verbs/add.ts';
import { check } from '../verbs/check.ts';
import { del } from '../verbs/del.ts';
import { gc } from '../verbs/gc.ts';
import { ipamRole } from './ipam-role.ts';
import { addLoopback, checkLoopback } from './loopback.ts';
import type { Role } from './role.ts';
import { findRoleRow, type RoleName } from './role-names.ts';
import { status } from '../verbs/status.ts';
import { unknownRole } from './unknown-role.ts';

const nothing = () => undefined;

const ROLES: Readonly<Record<RoleName, Role>> = {
  podlink: { add, del, check, gc, status },
  // DEL leaves `lo` as it is: see loopback.ts.
  loopback: { add: addLoopback, del: nothing, check: checkLoopback, gc: nothing, status: nothing },
  'host-local': ipamRole(hostLocal),
  static: ipamRole(staticIpam),
  'podlink-etcd': ipamRole(etcdIpam),
};

/**
 * Choose the role for a call.
 *
 * The name that the executable was run as decides if it is loopback's or an IPAM plugin's, whose configuration has the
 * `type` of the plugin that calls it. Run as podlink, or as a copy of it, the configuration's `type` decides; without one
 * it is podlink. Everything else is another plugin's name: never a reason to make a bridge.
 */
export function chooseRole(programName: string, type: () => string): Role {
  const program = findRoleRow(programName)?.name;
  if (program === undefined) return unknownRole(programName, 'the name it was run as');
  if (program !== 'podlink') return ROLES[program];
  const asked = type() || program;
  const role = findRoleRow(asked)?.name;
  return role === undefined ? unknownRole(asked, 'which "type" asks for') : ROLES[role];
}
