// Obstacles to the containers' traffic in nftables: other firewalls, and gaps in our own table.

import { sentencesOf, withoutConsequences } from '../../diagnosis/attachment-diagnosis.ts';
import { diagnoseFault } from '../../features/elements/owned-elements.ts';
import { readFileSync } from 'node:fs';
import { hasTrait } from '../../modes/mode-registry.ts';
import { FEATURES } from '../../features/feature-registry.ts';
import {
  describeObstacle,
  ForeignFirewall,
  type Obstacle,
  remedyOf,
} from '../../features/firewall/foreign-firewall.ts';
import { type BridgeTraffic, trafficOf } from '../../features/firewall/node-traffic.ts';
import { isErrno } from '../../kernel/errno.ts';
import { type NftablesConnection, openNftables } from '../../kernel/nftables/connection.ts';
import { checkRuleset, type Ruleset } from '../../kernel/nftables/ruleset.ts';
import { isObject } from '../../protocol/fields.ts';
import { addressesOf } from '../listing/attachment-list.ts';
import type { Call } from '../cli/command.ts';
import type { Finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';
import { findStolenPorts, hasPortMappings } from './stolen-port.ts';
import { count } from '../cli/text-table.ts';

const subject = 'firewall';

export function examineFirewall(_call: Call, networks: readonly Network[]): Finding[] {
  const nft = openNftables();
  try {
    const traffic = networks.flatMap(trafficOfNetwork);
    return [
      ...examineForeignChains(nft, traffic, networks),
      ...examineLegacyIptables(),
      examineOwnTable(nft, networks),
    ];
  } finally {
    nft.close();
  }
}

/** The traffic of each bridge that a network has, or had when its attachments were made. */
function trafficOfNetwork({ bridge, subnets, config, records }: Network): BridgeTraffic[] {
  if (!config) return [];
  const ofRecords = records.flatMap(({ objects }) => objects.bridge ?? []);
  const attached = records.filter(({ mode }) => hasTrait(mode, 'hasBridge')).flatMap(addressesOf);
  const addresses = {
    containers: [...attached.map(({ address }) => address), ...subnets.map(({ subnet }) => subnet)],
    gateways: [...attached, ...subnets].flatMap(({ gateway }) => gateway ?? []),
  };
  const capabilities = config.fields.get('capabilities');
  const isDeclared = isObject(capabilities) && capabilities.portMappings === true;
  const isPublishing = isDeclared || records.some(hasPortMappings);
  return [...new Set([...(bridge === undefined ? [] : [bridge]), ...ofRecords])].map((each) =>
    trafficOf(each, config.fields, { addresses, isPublishing }),
  );
}

function examineForeignChains(
  nft: NftablesConnection,
  traffic: readonly BridgeTraffic[],
  networks: readonly Network[],
): Finding[] {
  if (traffic.length === 0) return [{ level: 'ok', subject, what: 'no network has a bridge yet' }];
  const firewall = new ForeignFirewall(nft);
  const findings = [
    ...traffic.flatMap((each) =>
      firewall.findObstacles(each).map((obstacle) => findingOfObstacle(obstacle, each.bridge)),
    ),
    ...findStolenPorts(firewall, networks),
  ];
  const distinct = [...new Map(findings.map((finding) => [finding.what, finding])).values()];
  if (distinct.length > 0) return distinct;
  return [{ level: 'ok', subject, what: "no foreign chain stands in the way of the containers' traffic" }];
}

function findingOfObstacle(obstacle: Obstacle, bridge: string): Finding {
  const { isCertain, kinds } = obstacle;
  const isToNodeOnly = kinds.every((kind) => kind === 'to-node');
  const remedy = remedyOf(obstacle, bridge);
  const common = { subject, what: describeObstacle(obstacle, bridge) };
  if (!isCertain) {
    const meaning = 'its rules ask for what is known only when a packet comes, or for what podlink does not understand';
    return { ...common, level: 'unknown', meaning, remedy };
  }
  if (isToNodeOnly) {
    const meaning = "the containers do not reach the node's own services, which may be what it is there for";
    return { ...common, level: 'warn', meaning, remedy: { ...remedy, sentence: `if not: ${remedy.sentence}` } };
  }
  return { ...common, level: 'fail', meaning: 'rules of table inet podlink cannot overrule it', remedy };
}

/** What iptables-legacy made is no part of nftables, and cannot be seen there. */
function examineLegacyIptables(): Finding[] {
  const commands = ['ip', 'ip6'].flatMap((family) => {
    const tables = readLines(`/proc/net/${family}_tables_names`).filter((name) => name === 'filter' || name === 'nat');
    return tables.map((name) => `${family}tables-legacy -t ${name} -S`);
  });
  if (commands.length === 0) return [];
  return [
    {
      level: 'unknown',
      subject,
      what: 'rules of iptables-legacy are in force, which cannot be seen here',
      meaning:
        "if they drop what is forwarded, or send published ports elsewhere, so they do to the containers' traffic",
      remedy: { sentence: 'this shows them:', commands },
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
  const problems = withoutConsequences(used.flatMap((ruleset) => checkRuleset(nft, ruleset).map(diagnoseFault)));
  if (problems.length === 0) {
    return { level: 'ok', subject, what: `podlink's rules are whole (${used.map(({ name }) => name).join(', ')})` };
  }
  return {
    level: 'fail',
    subject,
    what: `${count(problems.length, 'part')} of podlink's rules ${problems.length === 1 ? 'is' : 'are'} missing or changed: ${sentencesOf(problems.slice(0, 4)).join('; ')}${problems.length > 4 ? '; …' : ''}`,
    meaning:
      'somebody has flushed or changed them, a reload of a firewall for example; containers may not reach anything, or be reached',
    remedy: { sentence: 'make them again:', commands: ['podlink repair'] },
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
