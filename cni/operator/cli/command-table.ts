// The commands there are, in the order in which help lists them.

import { completionCommand, helpCommand, versionCommand } from './about-commands.ts';
import { attachmentInspectCommand } from '../listing/attachment-inspect.ts';
import { attachmentListCommand } from '../listing/attachment-list.ts';
import type { Command } from './command.ts';
import { doctorCommand } from '../doctor/doctor.ts';
import { gcCommand } from '../cleanup/gc-command.ts';
import { installCommand } from '../install/install-command.ts';
import { ipamListCommand, ipamReleaseCommand, ipamShowCommand } from '../ipam/ipam-commands.ts';
import { ipamNodesCommand, ipamReleaseNodeCommand } from '../ipam/ipam-node-commands.ts';
import { networkInspectCommand } from '../listing/network-inspect.ts';
import { networkListCommand } from '../listing/network-list.ts';
import { repairCommand } from '../cleanup/repair-command.ts';
import { schemaCommand } from '../schema/schema-command.ts';
import { uninstallCommand } from '../install/uninstall-command.ts';
import { validateCommand } from '../validate/validate.ts';

export const COMMANDS: readonly Command[] = [
  networkListCommand,
  networkInspectCommand,
  attachmentListCommand,
  attachmentInspectCommand,
  ipamListCommand,
  ipamShowCommand,
  ipamReleaseCommand,
  ipamNodesCommand,
  ipamReleaseNodeCommand,
  validateCommand,
  schemaCommand,
  doctorCommand,
  repairCommand,
  gcCommand,
  installCommand,
  uninstallCommand,
  versionCommand,
  completionCommand(() => COMMANDS),
  helpCommand(() => COMMANDS),
];
