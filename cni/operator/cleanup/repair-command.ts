// `repair`: make attachments again what ADD made of them. The work is done by cni/verbs/repair.ts.

import { withRemedy } from '../diagnosis/attachment-notes.ts';
import { diagnose, sentenceOf, sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { isSameDiagnosis } from '../../diagnosis/diagnosis.ts';
import { describeKey } from '../../attachment/key.ts';
import { removeForsakenLocalnet } from '../../features/portmap/route-localnet.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { type Repair, repairAttachments } from '../../verbs/repair.ts';
import { findAttachments } from '../listing/attachment-inspect.ts';
import { compareRecords, listChosenRecords } from '../listing/attachment-list.ts';
import { BIN_DIR_OPTION, binDirsOf, type Call, type Command, NETWORK_OPTION } from '../cli/command.ts';
import { describeLife } from '../listing/liveness.ts';
import { findStaleClaims, findStaleElements, type StaleObject } from './stale-objects.ts';
import { type Colour, count, printable, type Style } from '../cli/text-table.ts';

const COLOURS: Readonly<Record<Repair['outcome'], Colour>> = {
  sound: 'green',
  repaired: 'green',
  removed: 'yellow',
  failed: 'red',
};

export const repairCommand: Command = {
  name: 'repair',
  summary: 'make attachments again what ADD made of them',
  description:
    'After a firewall was reloaded, a bridge or a qdisc deleted: what is missing is made again, what ADD left unfinished is removed. Attachments that are sound are not touched. Exit status 1 when something is left.',
  arguments: [{ name: 'ID', isRequired: false, isRepeated: true }],
  options: [NETWORK_OPTION, BIN_DIR_OPTION],
  async run(call) {
    const collected = call.args.length > 0 ? [] : await collectStale(call);
    const records = chooseRecords(call).filter((record) => {
      const isBeingAdded = describeLife(record, new Date()) === 'adding';
      // Its ADD holds the lock and is about to say how it went.
      if (isBeingAdded) call.warn(`${describeKey(record)} is just being added: not looked at`);
      return !isBeingAdded;
    });
    const repairs = await repairAttachments(records, call.context, binDirsOf(call));
    return {
      json: [
        ...collected.map(({ owner = '', why }) => {
          const [network = '', containerId = '', ifname = ''] = owner.split('/');
          const diagnoses = { found: [withRemedy(diagnose('owner-gone'))], left: [] };
          return { network, containerId, interface: ifname, outcome: 'removed', found: [why], left: [], diagnoses };
        }),
        ...repairs.map(({ record: { network, containerId, ifname }, outcome, found, left }) => ({
          network,
          containerId,
          interface: ifname,
          outcome,
          found: sentencesOf(found),
          left: sentencesOf(left),
          diagnoses: { found: found.map(withRemedy), left: left.map(withRemedy) },
        })),
      ],
      text: (style) =>
        [
          ...collected.map(
            ({ what, why }) => `${style(COLOURS.removed, 'removed')}  ${what}\n  was: ${printable(why)}`,
          ),
          describe(repairs, style),
        ].join('\n'),
      hasFinding: repairs.some(({ left }) => left.length > 0),
    };
  },
};

/**
 * Elements of nobody, which stand in the way of others: a ruleset that was saved before a reboot brings them. And claims of
 * nobody, which keep route_localnet on.
 */
async function collectStale(call: Call): Promise<StaleObject[]> {
  const collected: StaleObject[] = [];
  for (const stale of [...findStaleElements(call), ...findStaleClaims(call)]) {
    if (stale.kept === undefined && (await stale.remove()) === 'removed') collected.push(stale);
  }
  removeForsakenLocalnet(call.context);
  return collected;
}

function chooseRecords(call: Call): AttachmentRecord[] {
  if (call.args.length > 0) return [...new Set(call.args)].flatMap((id) => findAttachments(call, id));
  return listChosenRecords(call.context.runDir, call.valueOf(NETWORK_OPTION.name)).sort(compareRecords);
}

function describe(repairs: readonly Repair[], style: Style): string {
  const lines = repairs
    .filter(({ outcome }) => outcome !== 'sound')
    .flatMap(({ record, outcome, found, left }) => [
      `${style(COLOURS[outcome], outcome)}  ${describeKey(record)}`,
      ...found
        .filter((problem) => !left.some((still) => isSameDiagnosis(problem, still)))
        .map((problem) => `  was: ${printable(sentenceOf(problem))}`),
      ...left.map((problem) => `  ${style('red', 'left')}: ${printable(sentenceOf(problem))}`),
    ]);
  const counts = (['sound', 'repaired', 'removed', 'failed'] as const)
    .map((outcome) => [repairs.filter((repair) => repair.outcome === outcome).length, outcome] as const)
    .filter(([number]) => number > 0)
    .map(([number, outcome]) => `${number} ${outcome}`);
  return [...lines, `${count(repairs.length, 'attachment')}${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`].join(
    '\n',
  );
}
