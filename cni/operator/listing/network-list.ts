// The networks of this node: those that are configured, and those that have attachments on record. `network ls`.

import { parseRangeSets } from '../../../ipam/range/range-set.ts';
import { UnsafeDirectoryError } from '../../kernel/directory.ts';
import { networkOf, formatCidr } from '../../address/ip.ts';
import { bridgeNameOf } from '../../modes/bridge/config.ts';
import { DEFAULT_MODE, hasTrait } from '../../modes/mode-registry.ts';
import { type NetworkConfig, networkConfigOf } from '../../protocol/config.ts';
import { listAllRecords } from '../../attachment/record-store.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { addressesOf } from './attachment-list.ts';
import { type Call, type Command, CONF_DIR_OPTION } from '../cli/command.ts';
import { listConfiguredPlugins } from '../validate/conf-dir.ts';
import { formatTable } from '../cli/text-table.ts';

export interface Network {
  readonly name: string;
  /** The configuration's own; undefined when that cannot be read. */
  readonly mode: string | undefined;
  /** Undefined in a mode without one. */
  readonly bridge: string | undefined;
  readonly subnets: readonly Subnet[];
  /** Undefined when nothing but attachments on record is left of it. */
  readonly file: string | undefined;
  /** As it is now, or as it was when the youngest attachment was made. */
  readonly config: NetworkConfig | undefined;
  readonly records: readonly AttachmentRecord[];
}

export interface Subnet {
  readonly subnet: string;
  readonly gateway?: string;
}

export const networkListCommand: Command = {
  name: 'network ls',
  summary: 'list the networks that are configured or have attachments',
  arguments: [],
  options: [CONF_DIR_OPTION],
  run(call) {
    const networks = listNetworks(call);
    const rows = networks.map(({ name, mode, bridge, subnets, records, file }) => ({
      name,
      mode: mode ?? null,
      bridge: bridge ?? null,
      subnets: subnets.map(({ subnet }) => subnet),
      attachments: records.length,
      file: file ?? null,
    }));
    return {
      json: rows,
      text: (style) =>
        formatTable(
          ['NETWORK', 'MODE', 'BRIDGE', 'SUBNETS', 'ATTACHMENTS', 'CONFIGURED IN'],
          rows.map((row) => [
            row.name,
            row.mode ?? '?',
            row.bridge ?? '',
            row.subnets.join(', '),
            String(row.attachments),
            row.file ?? { text: 'no file (attachments on record)', colour: 'yellow' },
          ]),
          style,
        ),
    };
  },
};

/** Whether the bridge has an address that containers reach the node by. */
export function hasGateway({ config }: Network): boolean {
  return ['isGateway', 'isDefaultGateway'].some((key) => config?.fields.get(key) === true);
}

/** The networks, by name. What is wrong with a configuration is told of, and the network listed all the same. */
export function listNetworks(call: Call): Network[] {
  const records = Map.groupBy(listTrustedRecords(call), ({ network }) => network);
  const plugins = listConfiguredPlugins(call.valueOf(CONF_DIR_OPTION.name), call.warn);
  // Of two files with a network of the same name runtimes take the first.
  const configured = new Map(plugins.toReversed().map((plugin) => [plugin.network, plugin]));
  const names = [...new Set([...configured.keys(), ...records.keys()])].sort();
  return names.map((name) => {
    const plugin = configured.get(name);
    const ofNetwork = records.get(name) ?? [];
    const youngest = ofNetwork.toSorted((a, b) => (a.created < b.created ? 1 : -1))[0];
    const { config = youngest?.config ?? {}, file } = plugin ?? {};
    return describeNetwork({ name, raw: config, file }, ofNetwork, call.warn);
  });
}

function listTrustedRecords({ context, warn }: Call): AttachmentRecord[] {
  try {
    return listAllRecords(context.runDir);
  } catch (error) {
    if (!(error instanceof UnsafeDirectoryError)) throw error;
    warn(error.message);
    return [];
  }
}

/** A network by its configuration: in a file, or as an attachment was made with. */
interface Configured {
  readonly name: string;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly file: string | undefined;
}

function describeNetwork(
  { name, raw, file }: Configured,
  records: readonly AttachmentRecord[],
  warn: (message: string) => void,
): Network {
  const attempt = <Value>(work: () => Value): Value | undefined => {
    try {
      return work();
    } catch (error) {
      warn(`network "${name}"${file ? ` (${file})` : ''}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  const config = attempt(() => networkConfigOf(raw));
  const mode = config && attempt(() => config.fields.string('mode') ?? DEFAULT_MODE.name);
  const bridge = config && hasTrait(mode, 'hasBridge') ? attempt(() => bridgeNameOf(config.fields)) : undefined;
  const subnets = config && hasTrait(mode, 'hasOwnInterface') ? attempt(() => subnetsOf(config, records)) : [];
  return { name, mode, bridge, subnets: subnets ?? [], file, config, records };
}

/** What IPAM hands out from: its ranges, or else the networks of the addresses that are there. */
function subnetsOf(config: NetworkConfig, records: readonly AttachmentRecord[]): Subnet[] {
  const { runtimeConfig, cniVersion } = config;
  const ipam = config.fields.object('ipam');
  if (ipam && (ipam.get('ranges') ?? ipam.get('subnet') ?? runtimeConfig.get('ipRanges')) !== undefined) {
    return parseRangeSets({ ipam, runtimeConfig, cniVersion }).flatMap(({ ranges }) =>
      ranges.map(({ subnet, gateway }) => ({ subnet: formatCidr(subnet), gateway })),
    );
  }
  const found = records.flatMap((record) =>
    addressesOf(record).map(({ address, gateway }) => [networkOf(address), gateway] as const),
  );
  return [...new Map(found)].map(([subnet, gateway]) => ({ subnet, ...(gateway !== undefined && { gateway }) }));
}
