// What a runtime and its plugins must have taken away again: processes, mounts, namespaces, links, records,
// reservations, cgroups. Only meaningful in a machine of the suite's own (own-machine.ts).

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../harness/host.ts';
import { CgroupTree } from './cgroup.ts';

/** Where podlink keeps its records when no variable moves it. */
const RECORDS = '/run/podlink/attachments';
/** Where libcni, and so every runtime, caches the results of ADD. */
const RESULT_CACHE = '/var/lib/cni/results';
/** What the reservations' store keeps for itself. */
const STORE_FILES = /^(lock|last_reserved_ip\.\d+)$/;

export type Look = ReadonlySet<string>;

/** Enough of a command line to know it by; some are thousands of characters long. */
const MAX_COMMAND = 240;
/** Runtimes let go of processes and cgroups a little after they have said that a pod is gone. */
const SETTLE_MS = 4000;
const POLL_MS = 50;

/** Look at everything that belongs to pods, one line a thing; without a host, at what lies outside of one. */
export function lookAround(host?: Host): Look {
  return new Set([
    ...processes().map((text) => `process ${text}`),
    ...mounts().map((point) => `mount ${point}`),
    ...files('/run/netns').map((path) => `namespace ${path}`),
    ...files(RECORDS).map((path) => `record ${path}`),
    ...files(RESULT_CACHE).map((path) => `cached result ${path}`),
    ...(host ? reservationsAndLinks(host) : []),
    ...CgroupTree.own()
      .containers()
      .map((path) => `cgroup ${path}`),
  ]);
}

/** What may stay: a bridge, which the next container uses, and the cgroup that Podman has for all its conmons. */
const MEANT_TO_STAY = /^(link cni0|cgroup .*\/conmon)$/;

/** What is there and was not before, when the runtimes have had the time to let go of it. */
export function leftSince(before: Look, host?: Host): string[] {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const left = [...lookAround(host)].filter((line) => !before.has(line) && !MEANT_TO_STAY.test(line));
    if (left.length === 0 || Date.now() > deadline) return left;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}

function reservationsAndLinks(host: Host): string[] {
  return [
    ...files(host.dataDir)
      .filter((path) => !STORE_FILES.test(path.split('/').at(-1) ?? ''))
      .map((path) => `reservation ${path}`),
    ...host.namespace.ipJson<{ ifname: string }>('link').map(({ ifname }) => `link ${ifname}`),
  ];
}

/** The command of every process of the PID namespace. A daemon may have been started anew. */
function processes(): string[] {
  return counted(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(commandOf)
      .filter((command) => command !== ''),
  );
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, MAX_COMMAND);
  } catch {
    return ''; // has ended; a zombie has no command either
  }
}

function mounts(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return counted(lines.map((line) => line.split(' ')[4]).filter((point) => point !== undefined));
}

/** Each text with how often it is there: mounts lie over one another, and processes may have the same command. */
function counted(texts: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Array.from(counts, ([text, count]) => `${text} x${count}`);
}

function files(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return []; // nobody has made it yet
  }
}
