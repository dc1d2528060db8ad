// The commands there are, in the order in which help lists them.

import { completionCommand, helpCommand, versionCommand } from './about-commands.ts';
import { attachmentInspectCommand } from './attachment-inspect.ts';
import { attachmentListCommand } from './attachment-list.ts';
import type { Command } from './command.ts';
import { doctorCommand } from './doctor.ts';
import { gcCommand } from './gc-command.ts';
import { installCommand } from './install-command.ts';
import { ipamListCommand, ipamReleaseCommand, ipamShowCommand } from './ipam-commands.ts';
import { ipamNodesCommand, ipamReleaseNodeCommand } from './ipam-node-commands.ts';
import { networkInspectCommand } from './network-inspect.ts';
import { networkListCommand } from './network-list.ts';
import { repairCommand } from './repair-command.ts';
import { uninstallCommand } from './uninstall-command.ts';
import { validateCommand } from './validate.ts';

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
  doctorCommand,
  repairCommand,
  gcCommand,
  installCommand,
  uninstallCommand,
  versionCommand,
  completionCommand(() => COMMANDS),
  helpCommand(() => COMMANDS),
];
