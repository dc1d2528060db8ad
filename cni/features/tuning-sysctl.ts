// The sysctls of a container's network namespace: setting them, taking that back, and looking whether they still are as
// set. All of it in the calling thread's namespace: see inNetns().

import { isErrno } from '../kernel/errno.ts';
import { findSysctl, type SysctlKey, setSysctl } from '../kernel/sysctl.ts';
import { describeValue, FieldError } from '../protocol/fields.ts';
import { isSameSysctlValue } from './sysctl-value.ts';
import type { SysctlSetting } from './tuning-config.ts';

/** A sysctl that has been changed, or is about to be. */
export interface SysctlChange {
  readonly key: SysctlKey;
  /** As it was asked for; the kernel may print it otherwise. */
  readonly value: string;
  readonly original: string;
}

/**
 * What setting them will change. Throws FieldError for a sysctl that this namespace does not have, or that cannot be
 * read: what cannot be compared cannot be vouched for.
 */
export function changesOf(settings: readonly SysctlSetting[]): SysctlChange[] {
  return settings.flatMap(({ key, value, path }) => {
    const original = readSysctl(key, path);
    return original === undefined || isSameSysctlValue(key, original, value) ? [] : [{ key, value, original }];
  });
}

/** Whether a sysctl belongs to the interface, and goes with it. */
export function isOfLink([, table, link]: SysctlKey, ifname: string): boolean {
  return (table === 'conf' || table === 'neigh') && link === ifname;
}

/**
 * Set the sysctls, in order, and see to it that the kernel has taken the values as they are meant. Those that are right
 * already are not written.
 *
 * Throws FieldError for a value that the kernel does not take, node:fs's errors for all else; what had been written by
 * then is put back.
 */
export function setSysctls(settings: readonly SysctlSetting[]): void {
  const written: SysctlChange[] = [];
  try {
    for (const { key, value, path } of settings) {
      const original = readSysctl(key, path);
      if (original !== undefined && isSameSysctlValue(key, original, value)) continue;
      writeSysctl(key, value, path);
      if (original !== undefined) written.push({ key, value, original });
      const taken = readSysctl(key, path) ?? '';
      if (!isSameSysctlValue(key, taken, value)) {
        const problem = `must be a value that the kernel keeps: it made ${describeValue(taken)} of ${describeValue(value)}`;
        throw new FieldError(path, problem);
      }
    }
  } catch (error) {
    try {
      for (const { key, original } of written.toReversed()) setText(key, original);
    } catch {
      // The first error says why. The removal that follows it tries again, and tells what is in its way.
    }
    throw error;
  }
}

/**
 * Give the sysctls back the values they had, last one first. One that has been given another value since is left alone.
 *
 * Throws AggregateError of what could not be put back, after all have been tried.
 */
export function restoreSysctls(changes: readonly SysctlChange[]): void {
  const errors: unknown[] = [];
  for (const { key, value, original } of changes.toReversed()) {
    try {
      const current = findSysctl(key);
      if (current !== undefined && isSameSysctlValue(key, current, value)) setText(key, original);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, 'Cannot put back the sysctls of the container');
}

/** What is not as it was set, one sentence each. */
export function checkSysctls(settings: readonly SysctlSetting[]): string[] {
  return settings.flatMap(({ key, value, text }) => {
    const current = findSysctl(key);
    if (current === undefined) return [`sysctl "${text}" is gone`];
    if (isSameSysctlValue(key, current, value)) return [];
    return [`sysctl "${text}" is ${describeValue(current)}, the configuration says ${describeValue(value)}`];
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
