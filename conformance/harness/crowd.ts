// A host that looks as if it had many attachments: their elements, records and reservations, without their namespaces and
// links. Made from a real attachment, whose name, addresses, MAC, host port and link are replaced in all of it.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './host.ts';
import { hostEndOf, type Pod } from './pod.ts';
import { getLink } from './referee.ts';

interface NftSet {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly elem?: readonly unknown[];
}

/** Fill a host with `count` likenesses of a pod of it, which has one port mapped: `hostPort`. */
export function addCrowd(host: Host, pod: Pod, hostPort: number, count: number): void {
  const replacements = Array.from({ length: count }, (_, i) => replacer(host, pod, hostPort, i));
  fillSets(host, replacements);
  copyFiles(join(host.runDir, 'attachments', 'pods'), pod.namespace.name, replacements);
  copyFiles(join(host.dataDir, 'pods'), pod.namespace.name, replacements);
}

type Replace = (text: string) => string;

function replacer(host: Host, pod: Pod, hostPort: number, i: number): Replace {
  const hex = i.toString(16).padStart(4, '0');
  const pairs: readonly (readonly [string, string])[] = [
    [pod.namespace.name, `crowd-${hex}`],
    [pod.ipv4, `10.77.${100 + Math.floor(i / 200)}.${(i % 200) + 1}`],
    [pod.ipv6, `fd00:77::c:${hex}`],
    [getLink(pod.namespace, 'eth0').address, `02:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}`],
    [hostEndOf(host, pod).ifname, `veth00000${hex}`],
  ];
  const port = new RegExp(`(?<![\\d.:])${hostPort}(?![\\d.:])`, 'g');
  return (text) =>
    pairs.reduce((changed, [from, to]) => changed.replaceAll(from, to), text).replace(port, String(20_000 + i));
}

function fillSets(host: Host, replacements: readonly Replace[]): void {
  const { nftables } = JSON.parse(host.namespace.mustRun('nft', ['-j', 'list', 'ruleset'])) as {
    nftables: { readonly set?: NftSet; readonly map?: NftSet }[];
  };
  const commands = nftables.flatMap(({ set, map }) => {
    const holder = set ?? map;
    if (holder?.table !== 'podlink' || !holder.elem) return [];
    const { family, table, name } = holder;
    const originals = holder.elem.map((element) => JSON.stringify(element));
    const elem = replacements.flatMap((replace) => originals.map((text) => JSON.parse(replace(text)) as unknown));
    return [{ add: { element: { family, table, name, elem } } }];
  });
  const file = join(host.folder, 'crowd.json');
  writeFileSync(file, JSON.stringify({ nftables: commands }));
  host.namespace.mustRun('nft', ['-j', '-f', file]);
}

/** Copy each file that names the container, in its own name or in its text, once for each likeness. */
function copyFiles(folder: string, containerId: string, replacements: readonly Replace[]): void {
  mkdirSync(folder, { recursive: true });
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const text = readFileSync(join(folder, entry.name), 'utf8');
    if (!entry.name.includes(containerId) && !text.includes(containerId)) continue;
    for (const replace of replacements)
      writeFileSync(join(folder, replace(entry.name)), replace(text), { mode: 0o600 });
  }
}
