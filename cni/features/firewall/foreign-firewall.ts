// The effect of the node's other firewalls on the containers' traffic. A packet passes only if every base chain of a hook lets
// it; no rule of ours can overrule another table's verdict. So all there is to do is to tell the operator.
//
// For `doctor` and CHECK alone: in the executable it lies outside of the snapshot (cni/verbs/packed-script.ts).

import { type BaseChain, listBaseChains } from '../../kernel/nftables/base-chain.ts';
import { describeChain } from '../../kernel/nftables/chain.ts';
import type { NftablesConnection } from '../../kernel/nftables/connection.ts';
import {
  NF_BR_FORWARD,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_NAT_DST,
  NFPROTO_BRIDGE,
  NFPROTO_INET,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFTA_DATA_VERDICT,
  NFTA_TABLE_FLAGS,
} from '../../kernel/nftables/constants.ts';
import { evaluateBaseChain, type Outcome, StoredChains } from '../../kernel/nftables/evaluation/chain-evaluation.ts';
import { type Marks, noMarks } from '../../kernel/nftables/evaluation/context.ts';
import { decodeVerdict } from '../../kernel/nftables/evaluation/verdict.ts';
import { NFTA_IMMEDIATE_DATA } from '../../kernel/nftables/expressions/immediate.ts';
import { attributesOf } from '../../kernel/nftables/message.ts';
import { getTable, type Table, tableWords } from '../../kernel/nftables/table.ts';
import { type FirewallRemedy, firewallRemedy, type ObstructingChain } from './firewall-remedy.ts';
import {
  type BridgeTraffic,
  type Family,
  frameSamples,
  type NodeFamily,
  publishedPacket,
  type Sample,
  samplesOf,
  type TrafficKind,
} from './node-traffic.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

/** enum nft_table_flags: the table's chains hang on no hook. */
const NFT_TABLE_F_DORMANT = 0x1;

/** A foreign chain that stands in the way of some traffic, or may. */
export interface Obstacle {
  readonly chain: ObstructingChain;
  /** The rule or policy that decides in it; the first of several. */
  readonly outcome: Outcome;
  /** False when it cannot be told what becomes of the traffic. */
  readonly isCertain: boolean;
  readonly kinds: readonly TrafficKind[];
  readonly families: readonly Family[];
}

interface Finding extends Omit<Obstacle, 'kinds' | 'families'> {
  readonly kind: TrafficKind;
  readonly family: Family;
}

/** The foreign base chains of the node, with what has been read of their rules. */
export class ForeignFirewall {
  readonly #chains: StoredChains;
  readonly #baseChains: readonly BaseChain[];

  /** Throws NetlinkError. */
  constructor(nft: NftablesConnection) {
    this.#chains = new StoredChains(nft);
    const foreign = listBaseChains(nft).filter(({ table }) => table.name !== PODLINK_TABLE.name);
    const tables = new Map(foreign.map(({ table }) => [keyOf(table), table]));
    const awake = new Set([...tables].flatMap(([key, table]) => (isAwake(nft, table) ? [key] : [])));
    this.#baseChains = foreign
      .filter(({ table }) => awake.has(keyOf(table)))
      .sort((a, b) => a.hook.priority - b.hook.priority);
  }

  /** Find what stands in the way of the traffic of a bridge's containers: one obstacle a chain. Throws NetlinkError. */
  findObstacles(traffic: BridgeTraffic): Obstacle[] {
    const findings = [
      ...samplesOf(traffic).flatMap((sample) => this.#follow(sample)),
      ...frameSamples(traffic).flatMap((sample) =>
        this.#meet(this.#at(NFPROTO_BRIDGE, NF_BR_FORWARD), sample, noMarks()),
      ),
    ];
    const groups = Map.groupBy(findings, ({ chain, isCertain }) =>
      JSON.stringify([chain.table, chain.name, isCertain]),
    );
    return [...groups.values()].flatMap((group): Obstacle[] => {
      const [first] = group;
      if (!first) return [];
      const { chain, outcome, isCertain } = first;
      const kinds = [...new Set(group.map(({ kind }) => kind))];
      return [{ chain, outcome, isCertain, kinds, families: [...new Set(group.map(({ family }) => family))] }];
    });
  }

  /**
   * Find the chain that sends elsewhere what comes to a published port, before podlink can: undefined when there is none.
   *
   * Of two chains of one priority the kernel asks the one first that was made last: then it is not certain.
   */
  findRedirect(node: NodeFamily, protocol: number, port: number): Omit<Obstacle, 'kinds' | 'families'> | undefined {
    const packet = publishedPacket(node, protocol, port);
    const marks = noMarks();
    for (const chain of this.#ofFamily(node.family, NF_INET_PRE_ROUTING)) {
      if (chain.hook.type === 'nat' && chain.hook.priority > NF_IP_PRI_NAT_DST) continue;
      const outcomes = evaluateBaseChain(this.#chains, chain, packet, marks);
      const outcome = outcomes.find(({ fate }) => fate === 'redirect');
      if (chain.hook.type !== 'nat' || !outcome) continue;
      const isCertain = outcomes.length === 1 && chain.hook.priority < NF_IP_PRI_NAT_DST;
      return { chain: this.#withTargets(chain), outcome, isCertain };
    }
    return undefined;
  }

  /** Send a packet along its way: what a chain does to it does not keep it from the next, so that all are found. */
  #follow(sample: Sample): Finding[] {
    const marks = noMarks();
    const before = this.#ofFamily(sample.family, NF_INET_PRE_ROUTING);
    const arrived = this.#meet(before, sample, marks);
    if (sample.kind === 'to-node') {
      return [...arrived, ...this.#meet(this.#ofFamily(sample.family, NF_INET_LOCAL_IN), sample, marks)];
    }
    const passed = this.#meet(this.#ofFamily(sample.family, NF_INET_FORWARD), sample, marks);
    return [...arrived, ...passed, ...this.#meet(this.#ofFamily(sample.family, NF_INET_POST_ROUTING), sample, marks)];
  }

  #meet(chains: readonly BaseChain[], { kind, family, arriving, passing }: Sample, marks: Marks): Finding[] {
    return chains.flatMap((chain): Finding[] => {
      const { type, number, priority } = chain.hook;
      if (type !== 'filter') return [];
      const isBefore = number === NF_INET_PRE_ROUTING && chain.table.family !== NFPROTO_BRIDGE;
      const sample = isBefore && priority <= NF_IP_PRI_NAT_DST ? arriving : passing;
      const packet = isBefore ? { ...sample, output: { name: '' } } : sample;
      const outcomes = evaluateBaseChain(this.#chains, chain, packet, marks);
      const obstructing = outcomes.find(({ fate }) => fate !== 'accept');
      if (!obstructing) return [];
      const isCertain = outcomes.every(({ fate }) => fate === 'drop' || fate === 'reject');
      // Before and behind the decision about the way hang rules of many kinds: only what is certain is told of these.
      if (!isCertain && (isBefore || number === NF_INET_POST_ROUTING)) return [];
      return [{ chain: this.#withTargets(chain), outcome: obstructing, isCertain, kind, family }];
    });
  }

  #ofFamily(family: Family, hook: number): BaseChain[] {
    const own = family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    return this.#baseChains.filter(
      ({ table, hook: { number } }) => number === hook && (table.family === own || table.family === NFPROTO_INET),
    );
  }

  #at(family: number, hook: number): BaseChain[] {
    return this.#baseChains.filter(({ table, hook: { number } }) => number === hook && table.family === family);
  }

  #withTargets(chain: BaseChain): ObstructingChain {
    const verdicts = this.#chains.rulesOf(chain).flatMap(({ expressions }) =>
      expressions.flatMap(({ name, attributes }) => {
        const verdict =
          name === 'immediate' ? attributes.nested(NFTA_IMMEDIATE_DATA)?.nested(NFTA_DATA_VERDICT) : undefined;
        return (verdict && decodeVerdict(verdict)?.chain) ?? [];
      }),
    );
    return { ...chain, targets: [...new Set(verdicts)].filter((name) => name !== '') };
  }
}

function keyOf({ family, name }: Table): string {
  return `${family} ${name}`;
}

function isAwake(nft: NftablesConnection, table: Table): boolean {
  const [answer] = nft.askAll([getTable(table)]);
  return answer !== undefined && ((attributesOf(answer).be32(NFTA_TABLE_FLAGS) ?? 0) & NFT_TABLE_F_DORMANT) === 0;
}

const TRAFFIC: Readonly<Record<TrafficKind, string>> = {
  outgoing: 'what the containers send beyond this node',
  returning: 'the answers to it',
  published: 'what comes to their published ports',
  neighbours: 'what they send to each other',
  'to-node': 'what they send to the node itself',
};

/** Describe an obstacle in a sentence without its end: the chain, what decides there, and what it stops. */
export function describeObstacle({ chain, outcome, isCertain, kinds, families }: Obstacle, bridge: string): string {
  const traffic = joined(kinds.map((kind) => TRAFFIC[kind]));
  const about = `${traffic} (bridge "${bridge}", ${families.map((family) => `IPv${family}`).join(' and ')})`;
  if (!isCertain) return `it cannot be told whether ${describeChain(chain)} lets through ${about}`;
  if (outcome.handle === undefined) return `${describeChain(chain)} has policy drop, and drops ${about}`;
  const place = outcome.chain === chain.name ? '' : ` of chain ${outcome.chain}`;
  return `${describeChain(chain)} ${outcome.fate === 'reject' ? 'rejects' : 'drops'} ${about} by rule ${outcome.handle}${place}`;
}

function joined(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/** Say how to let the traffic through, or where to look when it is not certain that anything stands in its way. */
export function remedyOf({ chain, isCertain }: Pick<Obstacle, 'chain' | 'isCertain'>, bridge: string): FirewallRemedy {
  if (isCertain) return firewallRemedy(chain, bridge);
  const { table, name } = chain;
  return {
    sentence: `look at its rules, and at the chains they lead to; rules of ${PODLINK_TABLE.name} cannot overrule them:`,
    commands: [`nft -a list chain ${tableWords(table)} ${name}`],
  };
}

/**
 * Say for CHECK what certainly stops traffic that is forwarded: one sentence a chain, with the commands between backquotes.
 *
 * A node that protects itself from its containers is no fault of an attachment. Throws NetlinkError.
 */
export function describeForwardDrops(nft: NftablesConnection, traffic: BridgeTraffic): string[] {
  const obstacles = new ForeignFirewall(nft).findObstacles(traffic);
  const telling = obstacles.filter(({ isCertain, kinds }) => isCertain && kinds.some((kind) => kind !== 'to-node'));
  return telling.map((obstacle) => {
    const { sentence, commands } = remedyOf(obstacle, traffic.bridge);
    const run = commands.map((command) => `\`${command}\``).join(' and ');
    return `${describeObstacle(obstacle, traffic.bridge)}, which rules of table inet podlink cannot overrule; ${sentence} ${run}`;
  });
}

export { trafficOf } from './node-traffic.ts';
