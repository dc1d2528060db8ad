// What a test run must leave as it found it: the machine's own network, the plugin's files, temp folders, processes.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';

/** The environment variable by which a run knows its processes: every child of the runner inherits it. */
export const RUN_MARK = 'PODLINK_TEST_RUN';

/** What is there, one line a thing, each with its category. */
export type MachineState = ReadonlySet<string>;

/** Look at everything a test might forget. `mark` is the value of RUN_MARK of this run. */
export function readMachineState(mark: string): MachineState {
  const lines: string[] = [];
  const put = (category: string, things: readonly string[]): void => {
    for (const thing of things) lines.push(`${category}: ${thing}`);
  };
  put('network namespace', list('/run/netns'));
  put('link', list('/sys/class/net'));
  put('address', addresses());
  put('IPv4 route', read('/proc/net/route').split('\n').slice(1).map(withoutCounters).filter(Boolean));
  for (const key of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'])
    put('sysctl', [`${key}=${read(`/proc/sys/${key}`).trim()}`]);
  put('file', [...tree('/run/podlink'), ...tree('/var/lib/cni')]);
  put('mount', mounts());
  put('nft table', nftTables());
  put(
    'temp folder',
    list(tmpdir()).filter((name) => name.startsWith('podlink')),
  );
  put('process', markedProcesses(mark));
  return new Set(lines);
}

/** Say what appeared (`+`) and what disappeared (`-`) between two looks. */
export function compareMachineStates(before: MachineState, after: MachineState): string[] {
  return [
    ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
    ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
  ];
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // absent is a state as good as empty
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // absent, or a process that has ended meanwhile
  }
}

function tree(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)));
  } catch {
    return []; // absent is a state as good as empty
  }
}

function addresses(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([link, entries]) =>
    (entries ?? []).map((entry) => `${link} ${entry.cidr}`),
  );
}

/** A line of /proc/net/route without its RefCnt and Use columns. */
function withoutCounters(line: string): string {
  const columns = line.split('\t');
  return columns
    .filter((_, i) => i !== 4 && i !== 5)
    .join(' ')
    .trim();
}

function mounts(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith('/run/netns/') || point.startsWith('/var/lib/cni'));
}

function nftTables(): string[] {
  const { status, stdout } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n').filter(Boolean) : []; // without nft, or without root, there is nothing to see
}

function markedProcesses(mark: string): string[] {
  const found: string[] = [];
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    if (!read(`/proc/${pid}/environ`).split('\0').includes(`${RUN_MARK}=${mark}`)) continue;
    const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    if (command !== '') found.push(`${pid} ${command}`); // a zombie has no command line
  }
  return found;
}
