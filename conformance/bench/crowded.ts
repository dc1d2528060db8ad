// One pod more beside many: hosts that look as if they had them already. Everything ADD and DEL could stumble over is
// there in their number: links that are ports of the bridge, rules or elements, reservations, records. Only their
// namespaces are not: the other ends of their links are all in one.

import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { addCrowd } from '../harness/crowd.ts';
import { addressOf } from '../harness/document.ts';
import type { Pod } from '../harness/pod.ts';
import { Contender, podlink, reference } from './contender.ts';
import { CHAIN, NETWORK, RESIDENT_PORT } from './network.ts';
import type { Row } from './report.ts';
import { takeTurns, timesOf, withContenders } from './turns.ts';

/** A bridge takes 1,023 ports: BR_MAX_PORTS of net/bridge/br_private.h, less the reserved 0. */
const SIZES = [0, 100, 1000];
const LOAD_TIMEOUT_MS = 10 * 60_000;
/** Occurs in no file and no rule. */
const NO_IPV6 = '(no IPv6 address)';

export async function measureCrowd(rounds: number): Promise<Row[]> {
  const starts = SIZES.flatMap((size) => [() => crowded(size, 'podlink'), () => crowded(size, 'reference')]);
  const series = await withContenders(starts, (...all) => takeTurns(all, { rounds }));
  return SIZES.flatMap((size, i) =>
    (['ADD', 'DEL'] as const).map((verb): Row => {
      const times = series.map((each) => timesOf(verb === 'ADD' ? each.attach : each.detach));
      return {
        section: 'crowd',
        id: `crowd ${size} ${verb}`,
        what: `${verb} beside ${size === 0 ? 'no other pod' : `${size.toLocaleString('en')} pods`}`,
        unit: 'ms',
        ours: times[2 * i] ?? [],
        peer: times[2 * i + 1] ?? [],
        isCharted: size === Math.max(...SIZES),
      };
    }),
  );
}

async function crowded(count: number, who: 'podlink' | 'reference'): Promise<Contender> {
  const protocol = who === 'podlink' ? podlink(CHAIN) : reference(CHAIN);
  const contender = await Contender.start(`${who} beside ${count} pods`, protocol);
  try {
    if (count > 0) {
      if (who === 'podlink') addCrowd(contender.host, residentOf(contender), RESIDENT_PORT, count);
      else addReferenceCrowd(contender, count);
      addLinks(contender, count);
    }
    return contender;
  } catch (error) {
    await contender.remove();
    throw error;
  }
}

/** The pod that the others are made after. */
function residentOf({ host, resident }: Contender): Pod {
  const { container } = resident;
  const [link] = container.ipJson<{ addr_info: { local: string }[] }>('-4', 'addr', 'show', 'dev', 'eth0');
  const ipv4 = addressOf(link?.addr_info[0]?.local ?? '');
  if (ipv4 === '') throw new Error(`The first pod of ${host.namespace.name} has no address`);
  const config = CHAIN.ours(host, 0);
  return { namespace: container, config, invocation: { config, container }, result: {}, ipv4, ipv6: NO_IPV6 };
}

/** Likenesses of the resident in the rules of iptables, whose chains have a hash of the pod in their names. */
function addReferenceCrowd(contender: Contender, count: number): void {
  const { host, resident } = contender;
  const { ipv4 } = residentOf(contender);
  const own = new RegExp(`\\b${resident.id}\\b|\\b${ipv4.replaceAll('.', '\\.')}\\b|CNI-(DN-)?[0-9a-f]{16}`);
  const saved = host.namespace.mustRun('iptables-save', []).split('\n');
  if (!saved.some((line) => own.test(line))) throw new Error('The reference has made no rules that can be multiplied');
  const restored = saved.flatMap((line) => {
    if (/^(\*|COMMIT)/.test(line)) return [line];
    return own.test(line) ? Array.from({ length: count }, (_, i) => likeness(line, i)) : [];
  });
  host.namespace.mustRun('iptables-restore', ['--noflush'], {
    input: `${restored.join('\n')}\n`,
    timeoutMs: LOAD_TIMEOUT_MS,
  });
  const folder = join(host.dataDir, NETWORK);
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < count; i++) writeFileSync(join(folder, addressAt(i)), `crowd-${i}\r\neth0`);

  function likeness(line: string, i: number): string {
    return line
      .replaceAll(resident.id, `crowd-${i}`)
      .replaceAll(ipv4, addressAt(i))
      .replace(new RegExp(`(?<![\\d.:])${RESIDENT_PORT}(?![\\d.:])`, 'g'), String(20_000 + i))
      .replace(/(CNI-(?:DN-)?)([0-9a-f]{16,})/g, (_, prefix: string, hash: string) => prefix + hashAt(hash, i));
  }
}

/** As addCrowd() gives them out. */
function addressAt(i: number): string {
  return `10.77.${100 + Math.floor(i / 200)}.${(i % 200) + 1}`;
}

function hashAt(hash: string, i: number): string {
  return createHash('sha1').update(`${hash} ${i}`).digest('hex').slice(0, hash.length);
}

/** A veth pair for each, its host end a port of the bridge and named as addCrowd() has it on record. */
function addLinks({ host }: Contender, count: number): void {
  const others = host.addContainer('crowd');
  const lines = Array.from({ length: count }, (_, i) => {
    const hex = i.toString(16).padStart(4, '0');
    return `link add name veth00000${hex} up master cni0 type veth peer name e${hex} netns ${others.name}`;
  });
  mustRun('ip', ['-n', host.namespace.name, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeoutMs: LOAD_TIMEOUT_MS,
  });
}
