// Faults at every system call of a run that changes something. Which ones these are, the trace of an undisturbed run
// tells: calls are sorted by name and arguments, none is listed by hand.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, Host, Invocation, Outcome } from './host.ts';

/** One call: the Nth of this name, about this path if it is about one. */
export interface FaultPoint {
  readonly call: string;
  /** Of calls about files; strace then counts only those about it. */
  readonly path: string | undefined;
  /** From 1. */
  readonly n: number;
  /** As the trace has it, cut. */
  readonly text: string;
}

/** Calls that change something, or ask the kernel to, and an error that each may well have. */
const ERRORS: Readonly<Record<string, string>> = {
  openat: 'ENOSPC',
  write: 'ENOSPC',
  pwrite64: 'ENOSPC',
  rename: 'EIO',
  link: 'EIO',
  unlink: 'EPERM',
  symlink: 'EROFS',
  mkdir: 'ENOSPC',
  rmdir: 'EIO',
  ftruncate: 'EIO',
  truncate: 'EIO',
  fsync: 'EIO',
  fdatasync: 'EIO',
  fchmod: 'EPERM',
  chmod: 'EPERM',
  utimensat: 'EPERM',
  mount: 'EPERM',
  umount2: 'EPERM',
  sendto: 'ENOBUFS',
  sendmsg: 'ENOBUFS',
  setns: 'EPERM',
  flock: 'ENOLCK',
};
/** What was asked for is done, and nobody hears of it. */
const LOST_ANSWER = { recvfrom: 'ENOBUFS', recvmsg: 'ENOBUFS' } as const;
/** Questions, which change nothing but may fail all the same. */
const QUESTION = /nlmsg_type=(RTM_GET\w+|\S*(_MSG_GET\w*|_MSG_CT_GET)|0xa10|0x101)\b/;
const STREAM = /^(write|pwrite64)\([012]</;
/** Not the program's own business: how Node wakes its other threads, and what the dynamic linker opens. */
const NODES_OWN = /^write\(\d+<(anon_inode|pipe|socket):/;
const READS_ONLY = /^openat\((?!.*\b(O_CREAT|O_WRONLY|O_RDWR|O_TRUNC)\b)/;

/** Run the plugin once, undisturbed, and find out where it could be disturbed. */
export function findFaultPoints(host: Host, command: Command, invocation: Invocation): FaultPoint[] {
  return findCalls(host, command, invocation, ERRORS);
}

/** Likewise, where the kernel's answers could get lost. */
export function findAnswers(host: Host, command: Command, invocation: Invocation): FaultPoint[] {
  return findCalls(host, command, invocation, LOST_ANSWER);
}

function findCalls(
  host: Host,
  command: Command,
  invocation: Invocation,
  wanted: Readonly<Record<string, string>>,
): FaultPoint[] {
  const file = join(host.folder, `trace-${command}`);
  const under = ['strace', '-f', '-y', '-qq', '-s', '200', '-e', `trace=${Object.keys(wanted).join()}`, '-o', file];
  const outcome = host.invoke(command, { ...invocation, under });
  if (outcome.code !== 0) throw new Error(`${command} fails even undisturbed: ${outcome.stdout}${outcome.stderr}`);
  const lines = readFileSync(file, 'utf8').split('\n');
  const [main] = lines[0]?.split(' ') ?? [];
  const calls = lines
    .filter((line) => line.startsWith(`${main} `) && !line.includes('<... '))
    .map((line) => line.slice(main?.length).trimStart());
  return calls.flatMap((text, i) => {
    const point = pointOf(text, calls.slice(0, i), wanted);
    return point ? [point] : [];
  });
}

function pointOf(
  text: string,
  earlier: readonly string[],
  wanted: Readonly<Record<string, string>>,
): FaultPoint | undefined {
  const call = /^\w+/.exec(text)?.[0] ?? '';
  if (wanted[call] === undefined || READS_ONLY.test(text) || NODES_OWN.test(text)) return undefined;
  // The result goes to standard output: by then everything is done, and nobody may ever hear of it.
  if (STREAM.test(text)) return undefined;
  const path = pathOf(call, text);
  const isSame = (other: string) =>
    other.startsWith(`${call}(`) && (path === undefined || other.includes(`"${path}"`) || other.includes(`<${path}>`));
  return { call, path, n: earlier.filter(isSame).length + 1, text: text.slice(0, 160) };
}

/** The file a call is about; of two, the first. */
function pathOf(call: string, text: string): string | undefined {
  if (['sendto', 'sendmsg', 'recvfrom', 'recvmsg', 'setns'].includes(call)) return undefined;
  return /"(\/[^"]*)"/.exec(call === 'write' || call === 'pwrite64' ? '' : text)?.[1] ?? /<(\/[^>]*)>/.exec(text)?.[1];
}

/** Whether the call only asks for something. */
export function isQuestion({ text }: FaultPoint): boolean {
  return QUESTION.test(text);
}

/** The error that failAt() gives a call. */
function errorOf({ call }: FaultPoint): string {
  return { ...ERRORS, ...LOST_ANSWER }[call] ?? 'EIO';
}

/** Run the plugin and kill it when it is about to make the call. Throws Error when it never comes to that. */
export function killAt(host: Host, command: Command, invocation: Invocation, point: FaultPoint): void {
  const outcome = host.invoke(command, { ...invocation, under: injecting(point, 'signal=SIGKILL') });
  if (outcome.signal === 'SIGKILL' || outcome.code === 137) return;
  throw new Error(`${command} is not killed at ${describe(point)}: ${outcome.code} ${outcome.stdout}${outcome.stderr}`);
}

/** Run the plugin and let one call fail. */
export function failAt(host: Host, command: Command, invocation: Invocation, point: FaultPoint): Outcome {
  return host.invoke(command, { ...invocation, under: injecting(point, `error=${errorOf(point)}`) });
}

function injecting({ call, path, n }: FaultPoint, what: string): string[] {
  return [
    ...['strace', '-f', '-qq', '-o', '/dev/null'],
    ...(path === undefined ? [] : ['-P', path]),
    ...['-e', `trace=${call}`, '-e', `inject=${call}:${what}:when=${n}`],
  ];
}

/** A point for people. */
export function describe({ call, path, n, text }: FaultPoint): string {
  return `${call} ${n}${path === undefined ? '' : ` of ${path}`} (${text})`;
}
