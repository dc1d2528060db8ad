// Tables of bad input: every row is refused with its code and a message that names what is wrong, and nothing changes.

import * as assert from 'uvu/assert';
import type { Config } from './document.ts';
import type { Command, Host, Invocation } from './host.ts';
import type { Namespace } from './namespace.ts';
import { AGAINST_REFERENCE } from './plugin.ts';
import { mustBeEmpty, refusalOf } from './verdict.ts';

export interface BadInput {
  /** What is wrong, for the report when the row fails. */
  readonly what: string;
  /** ADD when absent. */
  readonly command?: Command;
  readonly code: number;
  /** Must name the key or the variable. */
  readonly says: RegExp;
  /** Raw standard input. */
  readonly stdin?: string;
  /** Keys on top of a good configuration; undefined takes one away. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly call?: Omit<Partial<Invocation>, 'config'>;
}

/**
 * Put every row to the plugin on one host, and fail with the list of all that was not refused as it must be, or if
 * anything on the host, in the container or on disk has changed.
 */
export function mustRefuseEach(host: Host, container: Namespace, rows: readonly BadInput[]): void {
  const before = host.snapshot();
  const faults = rows.flatMap((row) => faultOf(host, container, row));
  mustBeEmpty(faults, `${faults.length} of ${rows.length} rows`);
  // Its own folder, empty, is made for the lock of the attachment before the container's namespace is opened.
  const changes = host.changesSince(before).filter((line) => line !== `+ folder ${host.runDir}/attachments`);
  mustBeEmpty(changes, 'changed by input that was refused');
}

function faultOf(host: Host, container: Namespace, row: BadInput): string[] {
  const { command = 'ADD', what, code, says } = row;
  const config: Config = { ...host.config(), ...row.config };
  const outcome = host.invoke(command, { config: row.stdin ?? config, container, ...row.call });
  try {
    const error = refusalOf(outcome, command, code, says);
    if (AGAINST_REFERENCE) return [];
    const text = `${error.msg}\n${error.details ?? ''}`;
    assert.not.match(text, /\bat .*:\d+:\d+|\.[cm]?[jt]s\b|undefined|\[object /, 'shows its own insides');
    assert.is(outcome.stderr, '', 'writes to standard error');
    return [];
  } catch (error) {
    return [`  ${what}: ${error instanceof Error ? error.message : error}`];
  }
}
