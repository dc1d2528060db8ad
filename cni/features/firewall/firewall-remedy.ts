// How an operator lets the containers' traffic pass another firewall: with that firewall's own commands.

import type { BaseChain } from '../../kernel/nftables/base-chain.ts';
import { NF_INET_LOCAL_IN, NFPROTO_BRIDGE, NFPROTO_IPV4, NFPROTO_IPV6 } from '../../kernel/nftables/constants.ts';
import { tableWords } from '../../kernel/nftables/table.ts';

/** `commands`: each is one line that can be copied. */
export interface FirewallRemedy {
  readonly sentence: string;
  readonly commands: readonly string[];
}

/** Where iptables-nft keeps its rules: they are to be changed with its own command. */
const IPTABLES_COMMANDS: ReadonlyMap<number, string> = new Map([
  [NFPROTO_IPV4, 'iptables'],
  [NFPROTO_IPV6, 'ip6tables'],
]);

const UNTIL_REBOOT =
  'these rules last until the next reboot: have netfilter-persistent save them, or a unit that runs before the containers add them';

/** A chain that stands in the way: where it hangs, and the chains that its rules jump to, which tell whose it is. */
export interface ObstructingChain extends BaseChain {
  readonly targets: readonly string[];
}

/** Say what lets the containers of a bridge reach everything, and everything answer them and reach the ports they publish. */
export function firewallRemedy(chain: ObstructingChain, bridge: string): FirewallRemedy {
  const { table, targets } = chain;
  const isInput = chain.hook.number === NF_INET_LOCAL_IN;
  if (/^firewalld/.test(table.name) || targets.some((name) => /^(FORWARD|INPUT)_(direct|ZONES)$/.test(name))) {
    return {
      sentence: 'put the bridge into a zone that trusts it, which firewalld keeps over a reboot:',
      commands: [`firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`],
    };
  }
  if (targets.some((name) => /^ufw6?-before-(forward|input)$/.test(name))) return ufwRemedy(bridge, isInput);
  const iptables = IPTABLES_COMMANDS.get(table.family);
  if (iptables && table.name === 'filter') {
    if (isInput) {
      return { sentence: `${UNTIL_REBOOT}:`, commands: [`${iptables} -I INPUT -i ${bridge} -j ACCEPT`] };
    }
    const isDocker = targets.includes('DOCKER-USER');
    const target = isDocker ? 'DOCKER-USER' : chain.name;
    return {
      sentence: `${isDocker ? 'let them through in DOCKER-USER, which Docker leaves to the operator; ' : ''}${UNTIL_REBOOT}:`,
      commands: [
        `${iptables} -I ${target} -i ${bridge} -j ACCEPT`,
        `${iptables} -I ${target} -o ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT`,
      ],
    };
  }
  return nftRemedy(chain, bridge, isInput);
}

function ufwRemedy(bridge: string, isInput: boolean): FirewallRemedy {
  if (isInput) return { sentence: 'ufw keeps this over a reboot:', commands: [`ufw allow in on ${bridge}`] };
  return {
    sentence:
      'ufw keeps these over a reboot; the second lets in whatever is routed to the containers, and is needed for published ports only:',
    commands: [`ufw route allow in on ${bridge}`, `ufw route allow out on ${bridge}`],
  };
}

function nftRemedy({ table, name }: BaseChain, bridge: string, isInput: boolean): FirewallRemedy {
  const insert = `nft insert rule ${tableWords(table)} ${name}`;
  const sentence =
    "these rules last until the next reboot or reload of that table: add them to what makes it, such as nftables.service's /etc/nftables.conf:";
  // By the names of the containers' ports: nft's `meta ibrname` is not in every kernel.
  if (table.family === NFPROTO_BRIDGE) {
    return { sentence, commands: [`${insert} iifname 'veth*' oifname 'veth*' accept`] };
  }
  // A name that is a word of nft's language has to be quoted, for nft and for the shell.
  const interfaceName = /^[a-z]+-?\d+$/.test(bridge) ? bridge : `'"${bridge}"'`;
  if (isInput) return { sentence, commands: [`${insert} iifname ${interfaceName} accept`] };
  return {
    sentence,
    commands: [
      `${insert} iifname ${interfaceName} accept`,
      `${insert} oifname ${interfaceName} ct state established,related accept`,
      `${insert} oifname ${interfaceName} ct status dnat accept`,
    ],
  };
}
