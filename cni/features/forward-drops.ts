// What other firewalls of the node do to the containers' traffic. A packet passes only if every base chain of a hook lets
// it; no rule of ours can overrule another table's `policy drop`. So all there is to do is to tell the operator.

import { type BaseChain, listBaseChains } from '../kernel/nftables/base-chain.ts';
import { describeChain } from '../kernel/nftables/chain.ts';
import type { NftablesConnection } from '../kernel/nftables/connection.ts';
import {
  NF_BR_FORWARD,
  NF_DROP,
  NF_INET_FORWARD,
  NFPROTO_BRIDGE,
  NFPROTO_INET,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from '../kernel/nftables/constants.ts';
import { describeTable } from '../kernel/nftables/table.ts';
import { PODLINK_TABLE } from './podlink-table.ts';

/** The hook that forwarded packets, or frames, pass, by the family of the table. */
const FORWARD_HOOKS: ReadonlyMap<number, number> = new Map([
  [NFPROTO_INET, NF_INET_FORWARD],
  [NFPROTO_IPV4, NF_INET_FORWARD],
  [NFPROTO_IPV6, NF_INET_FORWARD],
  [NFPROTO_BRIDGE, NF_BR_FORWARD],
]);

/** Where iptables-nft keeps its rules: they are to be changed with its own command. */
const IPTABLES_COMMANDS: ReadonlyMap<number, string> = new Map([
  [NFPROTO_IPV4, 'iptables'],
  [NFPROTO_IPV6, 'ip6tables'],
]);

/**
 * Say which foreign chains drop whatever they are not told to let through, and how to tell them to let the traffic of a
 * bridge's containers pass: one sentence a chain, with the commands between backquotes; none when no chain does.
 *
 * Their rules are not looked at: they may let it pass already. Throws NetlinkError.
 */
export function describeForwardDrops(nft: NftablesConnection, bridge: string): string[] {
  return listBaseChains(nft)
    .filter(({ table, hook }) => hook.number === FORWARD_HOOKS.get(table.family) && hook.policy === NF_DROP)
    .filter(({ table }) => table.name !== PODLINK_TABLE.name)
    .map((chain) => {
      const commands = remedyFor(chain, bridge).map((command) => `\`${command}\``);
      return `${describeChain(chain)} has policy drop, which rules of ${describeTable(PODLINK_TABLE)} cannot overrule: unless it lets the containers of bridge "${bridge}" pass already, run ${commands.join(' and ')}`;
    });
}

/** What lets the containers reach everything, and everything answer them and reach the ports they publish. */
function remedyFor({ table, name }: BaseChain, bridge: string): string[] {
  const iptables = IPTABLES_COMMANDS.get(table.family);
  if (iptables && table.name === 'filter' && name === 'FORWARD') {
    return [
      `${iptables} -I FORWARD -i ${bridge} -j ACCEPT`,
      `${iptables} -I FORWARD -o ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT`,
    ];
  }
  const insert = `nft insert rule ${describeTable(table).replace('table ', '')} ${name}`;
  // By the names of the containers' ports: nft's `meta ibrname` is not in every kernel.
  if (table.family === NFPROTO_BRIDGE) return [`${insert} iifname 'veth*' oifname 'veth*' accept`];
  return [
    `${insert} iifname ${bridge} accept`,
    `${insert} oifname ${bridge} ct state established,related accept`,
    `${insert} oifname ${bridge} ct status dnat accept`,
  ];
}
