// `gc`: remove what belongs to nobody any more. See stale-objects.ts.

import { removeForsakenLocalnet } from '../../features/portmap/route-localnet.ts';
import { DATA_DIR_OPTION } from '../listing/address-book.ts';
import { BIN_DIR_OPTION, type Command, CONF_DIR_OPTION, NETWORK_OPTION } from '../cli/command.ts';
import { describeRefusal, findStaleObjects, type StaleObject } from './stale-objects.ts';
import { type Colour, count, printable, type Style } from '../cli/text-table.ts';

type Outcome = 'removed' | 'stale' | 'kept' | 'gone' | 'failed';

interface Collected {
  readonly object: StaleObject;
  readonly outcome: Outcome;
  /** Why it was kept, or could not be removed. */
  readonly reason?: string;
}

const COLOURS: Readonly<Record<Outcome, Colour>> = {
  removed: 'green',
  stale: 'yellow',
  kept: 'yellow',
  gone: 'dim',
  failed: 'red',
};

export const gcCommand: Command = {
  name: 'gc',
  summary: 'remove what belongs to no container any more',
  description:
    'Attachments on record whose network namespace is gone or whose ADD was stopped, nftables elements and claims of route_localnet without an owner, reservations of nobody. What may be in use is kept, and said to be: while a process runs in a namespace its attachment stays, until the runtime runs DEL or that process ends. Run it in the network and mount namespace of the runtime. Exit status 1 when something could not be removed, with --dry-run when there is something to remove.',
  arguments: [],
  options: [
    { name: 'dry-run', short: 'n', summary: 'show what would be removed, and change nothing' },
    NETWORK_OPTION,
    CONF_DIR_OPTION,
    DATA_DIR_OPTION,
    BIN_DIR_OPTION,
  ],
  async run(call) {
    const isDryRun = call.isSet('dry-run');
    const collected: Collected[] = [];
    for (const object of findStaleObjects(call)) {
      if (object.kept !== undefined) collected.push({ object, outcome: 'kept', reason: object.kept });
      else if (isDryRun) collected.push({ object, outcome: 'stale' });
      else collected.push(await remove(object));
    }
    if (!isDryRun) removeForsakenLocalnet(call.context);
    return {
      json: collected.map(({ object: { kind, network, what, why }, outcome, reason }) => ({
        kind,
        network,
        what,
        why,
        outcome,
        ...(reason !== undefined && { reason }),
      })),
      text: (style) => describe(collected, isDryRun, style),
      hasFinding: collected.some(({ outcome }) => outcome === 'failed' || outcome === 'stale'),
    };
  },
};

async function remove(object: StaleObject): Promise<Collected> {
  try {
    const outcome = await object.remove();
    return typeof outcome === 'string' ? { object, outcome } : { object, outcome: 'kept', reason: outcome.kept };
  } catch (error) {
    return { object, outcome: 'failed', reason: describeRefusal(error) };
  }
}

function describe(collected: readonly Collected[], isDryRun: boolean, style: Style): string {
  const lines = collected.flatMap(({ object, outcome, reason }) => [
    `${style(COLOURS[outcome], outcome)}  ${printable(object.what)}`,
    `  ${printable(object.why)}${reason === undefined ? '' : `; ${printable(reason)}`}`,
  ]);
  const number = (wanted: Outcome) => collected.filter(({ outcome }) => outcome === wanted).length;
  const [kept, failed] = [number('kept'), number('failed')];
  const summary = isDryRun
    ? `${count(number('stale'), 'stale object')}, nothing was changed`
    : `${count(number('removed'), 'stale object')} removed${failed > 0 ? `, ${failed} could not be` : ''}`;
  return [...lines, `${summary}${kept > 0 ? `, ${kept} kept` : ''}`].join('\n');
}
