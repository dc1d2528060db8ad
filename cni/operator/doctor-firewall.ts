// What stands in the way of the containers' traffic in nftables: foreign chains that drop, and gaps in our own table.

import { readFileSync } from 'node:fs';
import { FEATURES } from '../features/feature-registry.ts';
import { describeForwardDrops } from '../features/forward-drops.ts';
import { isErrno } from '../kernel/errno.ts';
import { checkRuleset, type Ruleset, summarizeProblems } from '../kernel/nftables/ruleset.ts';
import { type NftablesConnection, openNftables } from '../kernel/nftables/connection.ts';
import type { Call } from './command.ts';
import type { Finding } from './finding.ts';
import type { Network } from './network-list.ts';
import { count } from './text-table.ts';

const subject = 'firewall';

export function examineFirewall(_call: Call, networks: readonly Network[]): Finding[] {
  const nft = openNftables();
  try {
    return [...examineForwardChains(nft, networks), ...examineLegacyIptables(), examineOwnTable(nft, networks)];
  } finally {
    nft.close();
  }
}

function examineForwardChains(nft: NftablesConnection, networks: readonly Network[]): Finding[] {
  const bridges = new Set(networks.flatMap(bridgesOf));
  const drops = [...bridges].flatMap((bridge) => describeForwardDrops(nft, bridge));
  if (drops.length > 0) {
    return drops.map((drop): Finding => {
      const [what = drop, remedy] = drop.split(': unless ');
      return {
        level: 'warn',
        subject,
        what,
        meaning: 'what the containers send beyond this node, and what comes to their published ports, may be dropped',
        ...(remedy && { remedy: `unless ${remedy}` }),
      };
    });
  }
  const whom =
    bridges.size === 0 ? 'no network has a bridge yet' : 'no foreign chain at the forward hook has policy drop';
  return [{ level: 'ok', subject, what: whom }];
}

function bridgesOf({ bridge, records }: Network): string[] {
  const used = records.flatMap(({ objects }) => objects.bridge ?? []);
  return bridge === undefined ? used : [bridge, ...used];
}

/** What iptables-legacy made is no part of nftables, and cannot be seen there. */
function examineLegacyIptables(): Finding[] {
  const tables = ['ip_tables_names', 'ip6_tables_names'].filter((name) =>
    readLines(`/proc/net/${name}`).includes('filter'),
  );
  if (tables.length === 0) return [];
  return [
    {
      level: 'unknown',
      subject,
      what: 'iptables-legacy has a filter table, whose policy cannot be seen here',
      meaning: 'if its FORWARD chain drops, so it does the traffic of the containers',
      remedy: '`iptables-legacy -S FORWARD` shows it',
    },
  ];
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    // A kernel without it, or not for us to read.
    if (isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) return [];
    throw error;
  }
}

/** The rules that the attachments on record rely on. */
function examineOwnTable(nft: NftablesConnection, networks: readonly Network[]): Finding {
  const used = rulesetsInUse(networks);
  if (used.length === 0) return { level: 'ok', subject, what: 'no attachment needs rules of nftables' };
  const problems = summarizeProblems(
    used.flatMap((ruleset) => checkRuleset(nft, ruleset)),
    used,
  );
  if (problems.length === 0) {
    return { level: 'ok', subject, what: `podlink's rules are whole (${used.map(({ name }) => name).join(', ')})` };
  }
  return {
    level: 'fail',
    subject,
    what: `${count(problems.length, 'part')} of podlink's rules ${problems.length === 1 ? 'is' : 'are'} missing or changed: ${problems.slice(0, 4).join('; ')}${problems.length > 4 ? '; …' : ''}`,
    meaning:
      'somebody has flushed or changed them, a reload of a firewall for example; containers may not reach anything, or be reached',
    remedy: '`podlink repair`',
  };
}

function rulesetsInUse(networks: readonly Network[]): Ruleset[] {
  const sets = new Set(
    networks.flatMap(({ records }) => records.flatMap(({ elements }) => elements.map(({ set }) => set))),
  );
  return FEATURES.flatMap(({ rulesets }) => rulesets).filter((ruleset) =>
    ruleset.sets.some(({ name }) => sets.has(name)),
  );
}
