// Obstacles to the containers' traffic in nftables: other firewalls, and gaps in our own table.

import { withoutConsequences } from '../../diagnosis/attachment-diagnosis.ts';
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
import { describeChain } from '../../kernel/nftables/chain.ts';
import { type NftablesConnection, openNftables } from '../../kernel/nftables/connection.ts';
import { checkRuleset, type Ruleset } from '../../kernel/nftables/ruleset.ts';
import { isObject } from '../../protocol/fields.ts';
import { addressesOf } from '../listing/attachment-list.ts';
import type { Call } from '../cli/command.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';
import { findStolenPorts, hasPortMappings } from './stolen-port.ts';

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
  const { isCertain, kinds, chain } = obstacle;
  const parts = {
    subject: bridge,
    object: describeChain(chain),
    found: describeObstacle(obstacle, bridge),
    remedy: remedyOf(obstacle, bridge),
  };
  if (!isCertain) return finding('unknown', subject, 'traffic-uncertain', parts);
  return kinds.every((kind) => kind === 'to-node')
    ? finding('warn', subject, 'node-traffic-stopped', parts)
    : finding('fail', subject, 'traffic-stopped', parts);
}

/** What iptables-legacy made is no part of nftables, and cannot be seen there. */
function examineLegacyIptables(): Finding[] {
  const commands = ['ip', 'ip6'].flatMap((family) => {
    const tables = readLines(`/proc/net/${family}_tables_names`).filter((name) => name === 'filter' || name === 'nat');
    return tables.map((name) => `${family}tables-legacy -t ${name} -S`);
  });
  return commands.length === 0 ? [] : [finding('unknown', subject, 'legacy-iptables-unseen', { found: commands })];
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
  return finding('fail', subject, 'own-rules-damaged', { causes: problems });
}

function rulesetsInUse(networks: readonly Network[]): Ruleset[] {
  const sets = new Set(
    networks.flatMap(({ records }) => records.flatMap(({ elements }) => elements.map(({ set }) => set))),
  );
  return FEATURES.flatMap(({ rulesets }) => rulesets).filter((ruleset) =>
    ruleset.sets.some(({ name }) => sets.has(name)),
  );
}
