// Published ports that another program's rules send elsewhere before podlink's can send them to the container.

import { hasTrait } from '../../modes/mode-registry.ts';
import type { ForeignFirewall } from '../../features/firewall/foreign-firewall.ts';
import { type Family, trafficOf } from '../../features/firewall/node-traffic.ts';
import { describeChain } from '../../kernel/nftables/chain.ts';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../../kernel/nftables/key.ts';
import { tableWords } from '../../kernel/nftables/table.ts';
import { isObject } from '../../protocol/fields.ts';
import { describeKey } from '../../attachment/key.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { addressesOf } from '../listing/attachment-list.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, sctp: IPPROTO_SCTP };

interface PublishedPort {
  readonly protocol: string;
  readonly port: number;
  /** Undefined for all addresses of the node. */
  readonly hostIp: string | undefined;
}

/** Whether the runtime asked for ports when the container was attached. */
export function hasPortMappings(record: AttachmentRecord): boolean {
  return publishedPorts(record).length > 0;
}

/** The ports that an attachment publishes on the node. */
function publishedPorts({ mode, config }: AttachmentRecord): PublishedPort[] {
  const { runtimeConfig } = config;
  const mappings =
    hasTrait(mode, 'hasOwnInterface') && isObject(runtimeConfig) ? runtimeConfig.portMappings : undefined;
  return (Array.isArray(mappings) ? mappings : []).flatMap((mapping: unknown): PublishedPort[] => {
    if (!isObject(mapping) || typeof mapping.hostPort !== 'number' || mapping.hostPort === 0) return [];
    const protocol = typeof mapping.protocol === 'string' ? mapping.protocol.toLowerCase() : 'tcp';
    const { hostIP } = mapping;
    const hostIp = typeof hostIP === 'string' && !['', '0.0.0.0', '::'].includes(hostIP) ? hostIP : undefined;
    return protocol in PROTOCOLS ? [{ protocol, port: mapping.hostPort, hostIp }] : [];
  });
}

/** Tell which published ports are, or may be, sent elsewhere. Throws NetlinkError. */
export function findStolenPorts(firewall: ForeignFirewall, networks: readonly Network[]): Finding[] {
  return networks.flatMap(({ config, records }) =>
    records.flatMap((record) => {
      const ports = publishedPorts(record);
      if (ports.length === 0 || !config) return [];
      const ips = addressesOf(record);
      const addresses = { containers: ips.map(({ address }) => address), gateways: [] };
      const bridge = record.objects.bridge ?? '';
      const { families } = trafficOf(bridge, config.fields, { addresses, isPublishing: true });
      return ports.flatMap((port) =>
        families.flatMap((node) => {
          const { hostIp } = port;
          if (hostIp !== undefined && hostIp.includes(':') !== (node.family === 6)) return [];
          const at = hostIp === undefined ? node : { ...node, node: hostIp };
          const redirect = firewall.findRedirect(at, PROTOCOLS[port.protocol] ?? 0, port.port);
          return redirect ? [findingOf(record, port, { family: node.family, ...redirect })] : [];
        }),
      );
    }),
  );
}

function findingOf(
  record: AttachmentRecord,
  { protocol, port }: PublishedPort,
  { family, chain, isCertain }: { readonly family: Family } & NonNullable<ReturnType<ForeignFirewall['findRedirect']>>,
): Finding {
  const { table, name } = chain;
  const parts = {
    subject: `${port}/${protocol}`,
    object: `IPv${family}`,
    of: describeKey(record),
    found: describeChain(chain),
    remedy: {
      sentence: 'publish another port, or take the rule away:',
      commands: [`nft -a list chain ${tableWords(table)} ${name}`],
    },
  };
  return isCertain
    ? finding('fail', 'firewall', 'port-redirected', parts)
    : finding('unknown', 'firewall', 'port-redirect-uncertain', parts);
}
