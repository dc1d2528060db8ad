// `doctor`: is this node fit for podlink, and is what podlink has made on it as it should be? Looks, and changes nothing.

import { DATA_DIR_OPTION } from '../listing/address-book.ts';
import { BIN_DIR_OPTION, type Call, type Command, CONF_DIR_OPTION } from '../cli/command.ts';
import { CONTAINERD_CONFIG_OPTION } from '../install/containerd-config.ts';
import { examineBridges } from './doctor-bridges.ts';
import { examineConfigurations } from './doctor-configuration.ts';
import { examineFirewall } from './doctor-firewall.ts';
import { examineKernel } from './doctor-kernel.ts';
import { examineLocalhost } from './doctor-localhost.ts';
import { examineRuntime } from './doctor-runtime.ts';
import { examinePlugins } from './doctor-plugins.ts';
import { examineAttachments, examineDirectories, examineReservations } from './doctor-state.ts';
import { examineSysctls } from './doctor-sysctls.ts';
import { examineUnprivileged } from './doctor-unprivileged.ts';
import { type Finding, finding, formatFindings, summarizeFindings } from './finding.ts';
import { advise } from './node-diagnosis.ts';
import { listNetworks, type Network } from '../listing/network-list.ts';

/** A part of the node. */
type Examination = (call: Call, networks: readonly Network[]) => Finding[] | Promise<Finding[]>;

const EXAMINATIONS: readonly (readonly [subject: string, examine: Examination])[] = [
  ['kernel', examineKernel],
  ['sysctls', examineSysctls],
  ['firewall', examineFirewall],
  ['firewall', examineLocalhost],
  ['plugins', examinePlugins],
  ['runtime', examineRuntime],
  ['runtime', examineUnprivileged],
  ['configuration', examineConfigurations],
  ['bridges', examineBridges],
  ['directories', examineDirectories],
  ['attachments', examineAttachments],
  ['reservations', examineReservations],
];

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'look for what is wrong with this node',
  description:
    'Run it as root in the network and mount namespace of the runtime. ok: fine; warn: it may not do what was meant; fail: it does not work; unknown: it could not be looked at. Exit status 1 for a failure, with --strict for a warning too.',
  arguments: [],
  options: [
    { name: 'strict', summary: 'let warnings count as failures' },
    CONF_DIR_OPTION,
    BIN_DIR_OPTION,
    CONTAINERD_CONFIG_OPTION,
    DATA_DIR_OPTION,
  ],
  async run(call) {
    const networks = listNetworks(call);
    const findings: Finding[] = [];
    for (const [subject, examine] of EXAMINATIONS) {
      try {
        findings.push(...(await examine(call, networks)));
      } catch (error) {
        const found = error instanceof Error ? error.message : String(error);
        const help = process.getuid?.() === 0 ? {} : { remedy: advise('run it as root') };
        findings.push(finding('unknown', subject, 'part-unseen', { subject, found, ...help }));
      }
    }
    const counting = call.isSet('strict') ? ['fail', 'warn'] : ['fail'];
    return {
      json: findings,
      text: (style) => `${formatFindings(findings, style)}\n\n${summarizeFindings(findings)}`,
      hasFinding: findings.some(({ level }) => counting.includes(level)),
    };
  },
};
