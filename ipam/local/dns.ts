// The DNS part of an IPAM result: from a resolv.conf(5) file (host-local) or from the configuration (static).

import { readFileSync } from 'node:fs';
import { nameserversAt } from '../../cni/protocol/address.ts';
import { FieldError, type Fields } from '../../cni/protocol/fields.ts';

export interface IpamDns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/**
 * Read the file that `resolvConf` names; nothing when the key is absent or empty.
 *
 * Throws FieldError when the file cannot be read.
 */
export function readResolvConf(ipam: Fields): IpamDns {
  const path = ipam.string('resolvConf');
  if (path === undefined || path === '') return {};
  try {
    return parseResolvConf(readFileSync(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    const fault = new FieldError(ipam.at('resolvConf'), `must be a file that can be read: ${reason}`, {
      isOfMachine: true,
    });
    return ipam.report(fault) ?? {};
  }
}

/**
 * Parse the text of a resolv.conf. As the reference and unlike resolv.conf(5), all `search` and `options` lines count,
 * not the last one only; of `domain` the last one.
 */
export function parseResolvConf(text: string): IpamDns {
  const dns: IpamDns = {};
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    const [value] = values;
    if (value === undefined || keyword === undefined || /^[#;]/.test(keyword)) continue;
    if (keyword === 'nameserver') dns.nameservers = [...(dns.nameservers ?? []), value];
    if (keyword === 'domain') dns.domain = value;
    if (keyword === 'search') dns.search = [...(dns.search ?? []), ...values];
    if (keyword === 'options') dns.options = [...(dns.options ?? []), ...values];
  }
  return dns;
}

/** Parse the `dns` object of the static plugin; empty lists and texts count as absent. Throws FieldError. */
export function parseDns(ipam: Fields): IpamDns {
  const fields = ipam.object('dns');
  const dns: IpamDns = {};
  if (fields === undefined) return dns;
  for (const key of ['nameservers', 'search', 'options'] as const) {
    const values = (key === 'nameservers' ? nameserversAt(fields, key) : fields.strings(key)) ?? [];
    if (values.length > 0) dns[key] = values;
  }
  const domain = fields.string('domain');
  if (domain) dns.domain = domain;
  return dns;
}
