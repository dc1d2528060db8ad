// The option by which a list shows only attachments with a port of the host.

import { ALL_RULESETS } from '../../features/feature-registry.ts';
import { PROTOCOLS } from '../../features/portmap/portmap-claim.ts';
import { claimedPorts, isPortMap } from '../../features/portmap/portmap-elements.ts';
import { recordedElements } from '../../features/elements/recorded-element.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { type OptionSpec, UsageError } from './command.ts';

export const PORT_OPTION: OptionSpec = {
  name: 'port',
  value: 'PORT[/PROTOCOL]',
  summary: 'only those that this port of the host is mapped to',
};

/** Whether an attachment has the port, of whatever address and protocol if none is named. Throws UsageError. */
export function portFilter(text: string | undefined): (record: AttachmentRecord) => boolean {
  if (text === undefined) return () => true;
  const { port, protocol } = parsePort(text);
  return ({ elements }) =>
    recordedElements(elements, ALL_RULESETS).some((element) => {
      if (!isPortMap(element.set)) return false;
      const claimed = claimedPorts(element);
      return (
        claimed.firstPort <= port && port <= claimed.lastPort && (protocol ?? claimed.protocol) === claimed.protocol
      );
    });
}

function parsePort(text: string): { port: number; protocol: number | undefined } {
  const [digits = '', name, ...rest] = text.split('/');
  const [port, protocol] = [Number(digits), name === undefined ? undefined : PROTOCOLS.get(name.toLowerCase())];
  if (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535 || rest.length > 0 || (name !== undefined && !protocol)) {
    throw new UsageError(`--port must be a port, and a protocol if so wished (8080, 53/udp), is "${text}"`);
  }
  return { port, protocol };
}
