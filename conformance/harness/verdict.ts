// What a runtime may expect of one run of the plugin; each function fails the case when it is otherwise.

import { inspect } from 'node:util';
import * as assert from 'uvu/assert';
import type { Config, ErrorDocument, Result } from './document.ts';
import type { Command, Host, Invocation, Outcome } from './host.ts';
import { AGAINST_REFERENCE } from './plugin.ts';

function describe(outcome: Outcome): string {
  return inspect({ code: outcome.signal ?? outcome.code, stdout: outcome.stdout, stderr: outcome.stderr });
}

/** ADD that must succeed: exit code 0 and one JSON document in the configuration's version. */
export function mustAdd(host: Host, invocation: Invocation): Result {
  const outcome = host.invoke('ADD', invocation);
  return resultOf(outcome, invocation.config);
}

/** The result of an ADD that must have succeeded. */
export function resultOf(outcome: Outcome, config: Config | string): Result {
  assert.is(outcome.code, 0, `ADD fails: ${describe(outcome)}`);
  assert.ok(outcome.json, `ADD prints no JSON: ${describe(outcome)}`);
  const result = outcome.json as Result;
  if (typeof config !== 'string')
    assert.is(result.cniVersion, config.cniVersion ?? '0.1.0', 'cniVersion of the result');
  return result;
}

/** A command that must succeed and print nothing: DEL, CHECK, GC, STATUS. */
export function mustPass(host: Host, command: Command, invocation: Invocation): void {
  const outcome = host.invoke(command, invocation);
  assert.is(outcome.code, 0, `${command} fails: ${describe(outcome)}`);
  assert.is(outcome.stdout, '', `${command} prints on stdout`);
}

/** The configuration a runtime sends with CHECK and DEL: with the result of the ADD. */
export function withPrevResult(config: Config, result: Result): Config {
  return { ...config, prevResult: result };
}

/**
 * A command that must be refused: exit code 1 and nothing but one error object on stdout, with this code and a message
 * that `pattern` matches.
 *
 * Of the reference only the refusal is asked: nearly all its errors have code 999.
 */
export function mustRefuse(
  host: Host,
  command: Command,
  invocation: Invocation,
  code: number,
  pattern: RegExp,
): ErrorDocument {
  return refusalOf(host.invoke(command, invocation), command, code, pattern);
}

/** Likewise, for a run that has ended. */
export function refusalOf(outcome: Outcome, command: Command, code: number, pattern: RegExp): ErrorDocument {
  assert.is(outcome.signal, null, `${command} dies: ${describe(outcome)}`);
  assert.is.not(outcome.code, 0, `${command} is not refused: ${describe(outcome)}`);
  assert.ok(outcome.json, `${command} prints no JSON: ${describe(outcome)}`);
  const error = outcome.json as ErrorDocument;
  assert.type(error.code, 'number', `${command} prints no error object: ${describe(outcome)}`);
  if (AGAINST_REFERENCE) return error;
  assert.is(outcome.code, 1, `exit code of the refused ${command}`);
  assert.is(error.code, code, `code of the error: ${describe(outcome)}`);
  assert.match(`${error.msg}\n${error.details ?? ''}`, pattern);
  assert.type(error.cniVersion, 'string', `the error has no cniVersion: ${describe(outcome)}`);
  const strange = Object.keys(error).filter((key) => !['cniVersion', 'code', 'msg', 'details'].includes(key));
  assert.equal(strange, [], 'keys of the error');
  return error;
}

/** Fail with the list when it is not empty. */
export function mustBeEmpty(differences: readonly string[], what: string): void {
  assert.is(differences.length, 0, `${what}:\n${differences.join('\n')}`);
}
