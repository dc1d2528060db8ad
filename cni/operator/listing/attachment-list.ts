// The attachments on record, and how each is doing at a glance. `attachment ls`.

import { hasTrait } from '../../modes/mode-registry.ts';
import { parseCniArgs } from '../../protocol/args.ts';
import type { Ip } from '../../protocol/result/result.ts';
import { listAllRecords, listRecords } from '../../attachment/record-store.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { ageSeconds, formatAge } from './age.ts';
import { type Command, NETWORK_OPTION } from '../cli/command.ts';
import type { Life } from './liveness.ts';
import { describeState } from './lost-target.ts';
import { PORT_OPTION, portFilter } from '../cli/port-filter.ts';
import { type Cell, formatTable } from '../cli/text-table.ts';

const SHORT_ID = 12;
/** Of a shared namespace: a node has many addresses. */
const MAX_ADDRESSES = 2;

export interface Pod {
  readonly namespace: string;
  readonly name: string;
}

export const attachmentListCommand: Command = {
  name: 'attachment ls',
  summary: 'list the attachments on record',
  description:
    'STATE: complete; adding, while ADD runs; unfinished, when ADD did not come to its end; target gone, when the container shares the network of one that has ended or was started anew (recreate it); stale, when the network namespace is gone from its path. "podlink gc" removes a stale one, unless a process still runs in that namespace: have the runtime run DEL then, or end that process.',
  arguments: [],
  options: [NETWORK_OPTION, PORT_OPTION, { name: 'no-trunc', summary: 'show container IDs whole, and every address' }],
  run(call) {
    const now = new Date();
    const rows = listChosenRecords(call.context.runDir, call.valueOf(NETWORK_OPTION.name))
      .filter(portFilter(call.valueOf(PORT_OPTION.name)))
      .map((record) => ({ record, state: describeState(record, now, call.context) }))
      .sort((a, b) => compareRecords(a.record, b.record));
    const shorten = (id: string) => (call.isSet('no-trunc') ? id : id.slice(0, SHORT_ID));
    return {
      json: rows.map(({ record, state }) => summarize(record, state, now)),
      text: (style) =>
        formatTable(
          ['NETWORK', 'CONTAINER', 'INTERFACE', 'MODE', 'ADDRESSES', 'POD', 'AGE', 'STATE'],
          rows.map(({ record, state }) => [
            record.network,
            shorten(record.containerId),
            record.ifname,
            record.mode,
            formatAddresses(record, call.isSet('no-trunc')),
            formatPod(podOf(record)),
            formatAge(record.created, now),
            stateCell(state),
          ]),
          style,
        ),
    };
  },
};

/** The records of a network, or all. */
export function listChosenRecords(runDir: string, network: string | undefined): AttachmentRecord[] {
  return network === undefined ? listAllRecords(runDir) : listRecords(runDir, network);
}

/** What programs get to know of an attachment in a list. */
function summarize(record: AttachmentRecord, state: Life, now: Date): Record<string, unknown> {
  const { network, containerId, ifname, mode, created } = record;
  return {
    network,
    containerId,
    interface: ifname,
    mode,
    addresses: addressesOf(record).map(({ address }) => address),
    pod: podOf(record),
    created,
    ageSeconds: ageSeconds(created, now) ?? null,
    state,
  };
}

/** By network and age. */
export function compareRecords(a: AttachmentRecord, b: AttachmentRecord): number {
  if (a.network !== b.network) return a.network < b.network ? -1 : 1;
  return a.created < b.created ? -1 : 1;
}

/** The addresses a container is reached by: those that ADD reported or, before it has, those that IPAM gave. */
export function addressesOf({ result, addresses }: AttachmentRecord): readonly Ip[] {
  return result && result.ips.length > 0 ? result.ips : addresses.map((address) => ({ address }));
}

/** Of a namespace that is the host's or another container's the first few will do. */
export function formatAddresses(record: AttachmentRecord, isWhole: boolean): string {
  const addresses = addressesOf(record).map(({ address }) => address);
  const isShared = hasTrait(record.mode, 'sharesNamespace');
  const shown = isShared && !isWhole ? addresses.slice(0, MAX_ADDRESSES) : addresses;
  const more = addresses.length - shown.length;
  return [...shown, ...(more > 0 ? [`+${more} more`] : [])].join(', ');
}

/** The MAC address of the container's own interface. */
export function macOf({ result, ifname }: AttachmentRecord): string | undefined {
  return result?.interfaces.find(({ name, sandbox }) => name === ifname && sandbox)?.mac;
}

/** The pod as the runtime named it; empty texts when it did not. */
export function podOf({ cniArgs }: Pick<AttachmentRecord, 'cniArgs'>): Pod {
  let args: ReadonlyMap<string, string>;
  try {
    args = parseCniArgs(cniArgs);
  } catch {
    // Of a record that somebody has written by hand: an ADD with such arguments was refused.
    args = new Map();
  }
  return { namespace: args.get('K8S_POD_NAMESPACE') ?? '', name: args.get('K8S_POD_NAME') ?? '' };
}

export function formatPod({ namespace, name }: Pod): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function stateCell(state: Life): Cell {
  return state === 'complete' ? state : { text: state, colour: state === 'adding' ? 'dim' : 'yellow' };
}
