// The sysctls of a container's network namespace: setting them, taking that back, and looking whether they still are as
// set. All of it in the calling thread's namespace: see inNetns().

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { isErrno } from '../../kernel/errno.ts';
import { findSysctl, type SysctlKey, setSysctl } from '../../kernel/sysctl.ts';
import { cidrFamily } from '../../protocol/address.ts';
import { describeValue, FieldError } from '../../protocol/fields.ts';
import { isSameSysctlValue } from './sysctl-value.ts';
import type { SysctlSetting } from './tuning-config.ts';

/** What each setting's sysctl was when it was read; undefined when it has no value yet. */
export type SysctlValues = ReadonlyMap<SysctlSetting, string | undefined>;

/** A sysctl that has been changed, or is about to be. */
export interface SysctlChange {
  readonly key: SysctlKey;
  /** As it was asked for; the kernel may print it otherwise. */
  readonly value: string;
  /** What it was before any attachment changed it. */
  readonly original: string;
}

/**
 * Read what is to be set. Throws FieldError for a sysctl that this namespace does not have, or that cannot be read: what
 * cannot be compared cannot be vouched for.
 */
export function readSysctls(settings: readonly SysctlSetting[]): SysctlValues {
  return new Map(settings.map((setting) => [setting, readSysctl(setting.key, setting.path)]));
}

/**
 * What setting them will change, or what other attachments of the container have changed to the same value already:
 * whichever of them is the last to go has to put it back.
 *
 * `others`: the changes of the other attachments, oldest first. Throws like readSysctls().
 */
export function changesOf(
  settings: readonly SysctlSetting[],
  others: readonly SysctlChange[] = [],
  values: SysctlValues = readSysctls(settings),
): SysctlChange[] {
  return settings.flatMap((setting) => {
    const { key, value } = setting;
    const current = values.get(setting);
    if (current === undefined) return [];
    const setBy = others.findLast(
      (other) => isSameSysctl(other.key, key) && isSameSysctlValue(key, other.value, current),
    );
    if (setBy) return [{ key, value, original: setBy.original }];
    return isSameSysctlValue(key, current, value) ? [] : [{ key, value, original: current }];
  });
}

/** Whether both are one variable of the kernel: the only one of the network with two names (net/ipv4/devinet.c). */
function isSameSysctl(a: SysctlKey, b: SysctlKey): boolean {
  const [first, second] = [a, b].map((key) =>
    key.join('/').replace(/^ipv4\/conf\/all\/forwarding$/, 'ipv4/ip_forward'),
  );
  return first === second;
}

/** Refuse a value where another network of the container asks for another. Throws FieldError. */
export function refuseContradiction(
  settings: readonly SysctlSetting[],
  wishes: readonly Pick<SysctlChange, 'key' | 'value'>[],
): void {
  for (const { key, value, path } of settings) {
    const other = wishes.find((wish) => isSameSysctl(wish.key, key) && !isSameSysctlValue(key, wish.value, value));
    if (!other) continue;
    const problem = `must be ${describeValue(other.value)}, as in another network of this container, which has one namespace for both: is ${describeValue(value)}`;
    throw new FieldError(path, problem);
  }
}

/**
 * Refuse to switch IPv6 off under an interface with IPv6 addresses: the kernel takes them away, also those of the
 * container's other interfaces, and does not give them back. Throws FieldError; changes nothing.
 */
export function requireAddressesKept(
  settings: readonly SysctlSetting[],
  ifname: string,
  addresses: readonly string[],
): void {
  const lost = addresses.filter((address) => cidrFamily(address) === 6);
  if (lost.length === 0) return;
  const switches = ['all', ifname].map((link) => `ipv6/conf/${link}/disable_ipv6`);
  for (const { key, value, path } of settings) {
    if (!switches.includes(key.join('/')) || isSameSysctlValue(key, value, '0')) continue;
    // Written over a value that is not 0, it changes nothing (addrconf_disable_ipv6() in net/ipv6/addrconf.c).
    if (!isSameSysctlValue(key, readSysctl(key, path) ?? '', '0')) continue;
    const problem = `must be "0" for interface "${ifname}" to keep its address ${lost.join(', ')}, is ${describeValue(value)}`;
    throw new FieldError(path, problem);
  }
}

/** Whether interfaces that are made later take a sysctl over ("default"), or obey it ("all"). */
export function isInherited([, table, link]: SysctlKey): boolean {
  return (table === 'conf' || table === 'neigh') && (link === 'default' || link === 'all');
}

/** Whether a sysctl belongs to the interface, and goes with it. */
export function isOfLink([, table, link]: SysctlKey, ifname: string): boolean {
  return (table === 'conf' || table === 'neigh') && link === ifname;
}

/**
 * Set the sysctls, in order, and see to it that the kernel has taken the values as they are meant, and that none of them
 * has changed another. Those that are right already are not written.
 *
 * `values`: what they were shortly before: those that need a write are not read again. (Each access to /proc/sys takes
 * three system calls, 0.1 ms.)
 *
 * Throws FieldError for a value that the kernel does not take, node:fs's errors for all else; what had been written by
 * then is put back.
 */
export function setSysctls(settings: readonly SysctlSetting[], values?: SysctlValues): void {
  const written: SysctlChange[] = [];
  /** Seen to be right since the last write. */
  const seen = new Set<SysctlSetting>();
  try {
    for (const setting of settings) {
      const { key, value, path } = setting;
      const known = values?.get(setting);
      const isWrong = known !== undefined && !isSameSysctlValue(key, known, value);
      const original = isWrong ? known : readSysctl(key, path);
      if (original !== undefined && isSameSysctlValue(key, original, value)) {
        seen.add(setting);
        continue;
      }
      seen.clear();
      writeSysctl(key, value, path);
      if (original !== undefined) written.push({ key, value, original });
      const taken = readSysctl(key, path) ?? '';
      if (!isSameSysctlValue(key, taken, value)) {
        const problem = `must be a value that the kernel keeps: it made ${describeValue(taken)} of ${describeValue(value)}`;
        throw new FieldError(path, problem);
      }
      seen.add(setting);
    }
    requireLasting(settings.filter((setting) => !seen.has(setting)));
  } catch (error) {
    try {
      for (const { key, original } of written.toReversed()) setText(key, original);
    } catch {
      // The first error says why. The removal that follows it tries again, and tells what is in its way.
    }
    throw error;
  }
}

function requireLasting(settings: readonly SysctlSetting[]): void {
  for (const { key, value, path } of settings) {
    const left = readSysctl(key, path) ?? '';
    if (isSameSysctlValue(key, left, value)) continue;
    const problem = `must be a value that lasts: another sysctl, set with it, makes ${describeValue(left)} of ${describeValue(value)}`;
    throw new FieldError(path, problem);
  }
}

/**
 * Give the sysctls back the values they had, last one first. One that has been given another value since is left alone.
 * One that another attachment of the container sets as well gets that one's value.
 *
 * `others`: the changes of the other attachments, oldest first; the latest counts.
 *
 * Throws AggregateError of what could not be put back, after all have been tried.
 */
export function restoreSysctls(changes: readonly SysctlChange[], others: readonly SysctlChange[] = []): void {
  const errors: unknown[] = [];
  for (const { key, value, original } of changes.toReversed()) {
    try {
      const current = findSysctl(key);
      if (current === undefined || !isSameSysctlValue(key, current, value)) continue;
      const next = others.findLast((other) => isSameSysctl(other.key, key))?.value ?? original;
      if (!isSameSysctlValue(key, current, next)) setText(key, next);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, 'Cannot put back the sysctls of the container');
}

/** Find what is not as it was set. */
export function checkSysctls(settings: readonly SysctlSetting[]): AttachmentDiagnosis[] {
  return settings.flatMap(({ key, value, text }) => {
    const current = findSysctl(key);
    if (current === undefined) return [diagnose('sysctl-gone', { subject: text })];
    if (isSameSysctlValue(key, current, value)) return [];
    return [diagnose('sysctl-differs', { subject: text, expected: value, found: current })];
  });
}

/** The value; undefined when it has none yet (EIO: a stable_secret that nobody has set). */
function readSysctl(key: SysctlKey, path: string): string | undefined {
  let value: string | undefined;
  try {
    value = findSysctl(key);
  } catch (error) {
    if (isErrno(error, 'EIO')) return undefined;
    if (isErrno(error, 'EISDIR')) throw new FieldError(path, 'must be one sysctl, is a directory of them');
    if (isErrno(error, 'EACCES', 'EPERM')) throw new FieldError(path, 'must be a sysctl that can be read back');
    if (!isErrno(error, 'ENOTDIR')) throw error;
  }
  if (value !== undefined) return value;
  throw new FieldError(
    path,
    "must be a sysctl of the container's network namespace, which has none of this name: it is the whole node's, or the kernel does not have it",
  );
}

function writeSysctl(key: SysctlKey, value: string, path: string): void {
  try {
    setText(key, value);
  } catch (error) {
    if (isErrno(error, 'EACCES', 'EPERM')) {
      throw new FieldError(
        path,
        "must be a sysctl that the container's network namespace may change: this one is read-only there",
      );
    }
    if (isErrno(error, 'EROFS') || !(error instanceof Error) || !('code' in error)) {
      throw new Error(`Cannot set sysctl "${key.join('/')}" to ${describeValue(value)}`, { cause: error });
    }
    throw new FieldError(
      path,
      `must be a value that the kernel takes: it answers ${error.code} to ${describeValue(value)}`,
    );
  }
}

/** A write of no bytes would not reach the kernel. */
function setText(key: SysctlKey, value: string): void {
  setSysctl(key, value === '' ? '\n' : value);
}
