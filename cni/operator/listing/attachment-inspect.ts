// `attachment inspect`: all there is on record of an attachment, and what is wrong with it now.

import { withRemedy } from '../diagnosis/attachment-notes.ts';
import { type AttachmentDiagnosis, sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { ALL_RULESETS } from '../../features/feature-registry.ts';
import { recordedElements } from '../../features/elements/recorded-element.ts';
import { describeElement, type Element } from '../../kernel/nftables/element.ts';
import { listAllRecords } from '../../attachment/record-store.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { formatAge, formatTime } from './age.ts';
import { addressesOf, compareRecords, formatPod, macOf, podOf } from './attachment-list.ts';
import { findAttachmentProblems } from './attachment-problems.ts';
import { BIN_DIR_OPTION, binDirsOf, type Call, type Command, CommandError, NETWORK_OPTION } from '../cli/command.ts';
import type { Life } from './liveness.ts';
import { describeState, LOST_TARGET_REMEDY } from './lost-target.ts';
import { formatPairs, printable, type Style } from '../cli/text-table.ts';

interface Inspection {
  readonly record: AttachmentRecord;
  readonly state: Life;
  readonly problems: readonly AttachmentDiagnosis[];
}

const INTERFACE_OPTION = { name: 'interface', value: 'NAME', summary: 'only the attachment with this interface' };

export const attachmentInspectCommand: Command = {
  name: 'attachment inspect',
  summary: 'show all of an attachment, and what is wrong with it',
  description:
    'ID is a container ID or the beginning of one. It is looked at as CHECK does; exit status 1 when something is wrong.',
  arguments: [{ name: 'ID', isRequired: true }],
  options: [NETWORK_OPTION, INTERFACE_OPTION, BIN_DIR_OPTION],
  async run(call) {
    const now = new Date();
    const inspections: Inspection[] = [];
    for (const record of findAttachments(call, call.args[0] ?? '')) {
      const problems = await findAttachmentProblems(record, call.context, binDirsOf(call));
      inspections.push({ record, state: describeState(record, now, call.context), problems });
    }
    return {
      json: inspections.map(({ record, state, problems }) => ({
        ...record,
        life: state,
        problems: sentencesOf(problems),
        diagnoses: problems.map(withRemedy),
      })),
      text: (style) => inspections.map((inspection) => describe(inspection, now, style)).join('\n\n'),
      hasFinding: inspections.some(({ problems, state }) => problems.length > 0 || state === 'unfinished'),
    };
  },
};

/** The attachments of one container, by its ID or the beginning of it. Throws CommandError for none, or several containers. */
export function findAttachments(call: Call, id: string): AttachmentRecord[] {
  const [network, ifname] = [call.valueOf(NETWORK_OPTION.name), call.valueOf(INTERFACE_OPTION.name)];
  const records = listAllRecords(call.context.runDir)
    .filter((record) => record.containerId.startsWith(id))
    .filter((record) => network === undefined || record.network === network)
    .filter((record) => ifname === undefined || record.ifname === ifname)
    .sort(compareRecords);
  const exact = records.filter(({ containerId }) => containerId === id);
  if (exact.length > 0) return exact;
  const ids = [...new Set(records.map(({ containerId }) => containerId))];
  if (ids.length === 1) return records;
  const where = [network && ` in network "${network}"`, ifname && ` with interface "${ifname}"`]
    .filter(Boolean)
    .join('');
  if (ids.length === 0) {
    throw new CommandError(
      `no attachment of container "${id}"${where} is on record ("podlink attachment ls" lists them)`,
    );
  }
  throw new CommandError(
    `"${id}" is the beginning of ${ids.length} containers: ${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`,
  );
}

function describe(inspection: Inspection, now: Date, style: Style): string {
  const { record, state } = inspection;
  const { objects, result, netns, netnsIdentity, mode } = record;
  const { hostInterface = '', bridge, sharedNetns, target } = objects;
  const via = (where: string, gateway: string | undefined) => (gateway ? `${where} via ${gateway}` : where);
  const pairs: readonly (readonly [string, string | readonly string[]])[] = [
    ['container', record.containerId],
    ['network', record.network],
    ['interface', `${record.ifname} ${macOf(record) ?? ''}`.trim()],
    ['pod', formatPod(podOf(record))],
    ['mode', target === undefined || target === mode ? mode : `${mode} of ${target}`],
    ['namespace', `${netns} (${sharedNetns === undefined ? netnsIdentity : `${sharedNetns}, shared`})`],
    ['host end', bridge === undefined ? hostInterface : `${hostInterface} on bridge ${bridge}`.trim()],
    ['addresses', addressesOf(record).map(({ address, gateway }) => via(address, gateway))],
    ['routes', (result?.routes ?? []).map(({ dst, gw }) => via(dst, gw))],
    ['nameservers', result?.dns.nameservers ?? []],
    ['features', Object.keys(record.features).join(', ')],
    ['nftables', recordedElements(record.elements, ALL_RULESETS).map(describeInSet)],
    ['created', `${formatTime(record.created)} (${formatAge(record.created, now)} ago)`],
    ['state', state === 'unfinished' ? 'unfinished: ADD did not come to its end ("podlink repair" removes it)' : state],
  ];
  return [formatPairs(pairs.filter(([, value]) => value.length > 0)), ...describeProblems(inspection, style)].join(
    '\n',
  );
}

function describeInSet(element: Element): string {
  return `${element.set.name} ${describeElement(element)}`;
}

function describeProblems({ record, state, problems }: Inspection, style: Style): string[] {
  if (problems.length > 0) {
    return [
      style('red', 'wrong with it:'),
      ...sentencesOf(problems).map((problem) => `  ${printable(problem)}`),
      ...remedyFor(record, state),
    ];
  }
  return record.state === 'complete' ? [style('green', 'nothing is wrong with it')] : [];
}

/** Say what helps, a command on a line of its own. */
function remedyFor({ objects }: AttachmentRecord, life: Life): string[] {
  if (life === 'target gone') return [LOST_TARGET_REMEDY];
  return objects.sharedNetns === undefined
    ? ['make again what podlink has made:', '  podlink repair']
    : ['recreate the container: in a namespace that is shared nothing is repaired'];
}
