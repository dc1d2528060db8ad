// `network inspect`: a network in the JSON shape of `docker network inspect`, so that scripts written for that can read it.
//
// Source: Docker Engine API, schema Network. What has no meaning here has the value a network without it has in Docker.

import { hash } from 'node:crypto';
import { DEFAULT_MODE, findMode } from '../../modes/mode-registry.ts';
import { familyOf, splitCidr } from '../../address/ip.ts';
import type { Fields } from '../../protocol/fields.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { addressesOf, macOf, podOf } from './attachment-list.ts';
import { type Command, CommandError, CONF_DIR_OPTION } from '../cli/command.ts';
import { listNetworks, type Network } from './network-list.ts';
import { suggest } from '../cli/spelling.ts';

export const networkInspectCommand: Command = {
  name: 'network inspect',
  summary: "show networks in the JSON shape of Docker's network inspect",
  description:
    "Containers are listed by their ID; a further interface of the same container by ID/INTERFACE. Their name is the pod's, where the runtime tells it.",
  arguments: [{ name: 'NAME', isRequired: true, isRepeated: true }],
  options: [CONF_DIR_OPTION],
  run(call) {
    const networks = listNetworks(call);
    const found = call.args.map((name) => {
      const network = networks.find((candidate) => candidate.name === name);
      if (network) return describeNetwork(network);
      const names = networks.map((candidate) => candidate.name);
      throw new CommandError(`there is no network "${name}"${suggest(name, names)} ("podlink network ls" lists them)`);
    });
    return { json: found, text: () => JSON.stringify(found, undefined, 4) };
  },
};

function describeNetwork({ name, mode, bridge, subnets, records, config, file }: Network): object {
  const fields = config?.fields;
  const byAge = records.toSorted((a, b) => (a.created < b.created ? -1 : 1));
  return {
    Name: name,
    Id: hash('sha256', name),
    Created: byAge[0]?.created ?? '0001-01-01T00:00:00Z',
    Scope: 'local',
    Driver: findMode(mode ?? '')?.dockerDriver ?? mode ?? DEFAULT_MODE.name,
    EnableIPv4: subnets.some(({ subnet }) => isIpv4(subnet)),
    EnableIPv6: subnets.some(({ subnet }) => !isIpv4(subnet)),
    IPAM: {
      Driver: attempt(() => fields?.object('ipam')?.string('type')) ?? 'default',
      Options: null,
      Config: subnets.map(({ subnet, gateway }) => ({ Subnet: subnet, ...(gateway && { Gateway: gateway }) })),
    },
    Internal: flag(fields, 'internal'),
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: describeContainers(byAge),
    Options: bridge === undefined ? {} : bridgeOptions(bridge, fields),
    Labels: file === undefined ? {} : { 'podlink.dev/file': file },
  };
}

function describeContainers(records: readonly AttachmentRecord[]): Record<string, object> {
  const containers: Record<string, object> = {};
  for (const record of records) {
    const { containerId, ifname, network } = record;
    const addresses = addressesOf(record).map(({ address }) => address);
    const { namespace, name } = podOf(record);
    containers[containerId in containers ? `${containerId}/${ifname}` : containerId] = {
      Name: name === '' ? containerId : [namespace, name].filter((part) => part !== '').join('/'),
      EndpointID: hash('sha256', `${network}\0${containerId}\0${ifname}`),
      MacAddress: macOf(record) ?? '',
      IPv4Address: addresses.find(isIpv4) ?? '',
      IPv6Address: addresses.find((address) => !isIpv4(address)) ?? '',
    };
  }
  return containers;
}

/** Under the names that Docker's bridge driver has for them. */
function bridgeOptions(bridge: string, fields: Fields | undefined): Record<string, string> {
  const mtu = attempt(() => fields?.integer('mtu', 0, 65535));
  return {
    'com.docker.network.bridge.enable_icc': String(attempt(() => fields?.boolean('icc')) ?? true),
    'com.docker.network.bridge.enable_ip_masquerade': String(flag(fields, 'ipMasq')),
    'com.docker.network.bridge.host_binding_ipv4': attempt(() => fields?.string('hostBindingIPv4')) || '0.0.0.0',
    'com.docker.network.bridge.name': bridge,
    ...(mtu && { 'com.docker.network.driver.mtu': String(mtu) }),
  };
}

function flag(fields: Fields | undefined, key: string): boolean {
  return attempt(() => fields?.boolean(key)) ?? false;
}

/** A value of the wrong type is no reason to show nothing: `podlink validate` tells of it. */
function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function isIpv4(cidr: string): boolean {
  return familyOf(splitCidr(cidr).address) === 4;
}
