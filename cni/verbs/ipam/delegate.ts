// Delegation: running another plugin on behalf of ours, for an IPAM type that is not built in (CNI spec, section 4).

import { type BigIntStats, statSync } from 'node:fs';
import { type ProgramEnd, runProgram } from '../../kernel/child-process.ts';
import { isErrno } from '../../kernel/errno.ts';
import { CniError, ERR_DELEGATE_FAILED, ERR_INVALID_NETWORK_CONFIG } from '../../protocol/errors.ts';
import { describeValue, FieldError, isObject } from '../../protocol/fields.ts';
import { hasControlCharacter } from '../../protocol/name.ts';
import type { Command, Environment } from '../../protocol/request.ts';
import { ROLE_ROWS } from '../../roles/role-names.ts';

/** Longer than any runtime waits for us. */
const TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Find a plugin's executable in CNI_PATH. Throws CniError 7 for an impossible type, or one that is nowhere. */
export function findPlugin(type: string, path: readonly string[]): string {
  if (type.includes('/') || hasControlCharacter(type)) {
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      `Invalid "ipam.type": must be the name of a plugin without "/", is ${describeValue(type)}`,
    );
  }
  for (const directory of path) {
    const candidate = `${directory}/${type}`;
    const found = statSync(candidate, { throwIfNoEntry: false, bigint: true });
    if (!found?.isFile()) continue;
    refuseItself(type, candidate, found);
    return candidate;
  }
  throw new CniError(
    ERR_INVALID_NETWORK_CONFIG,
    `Cannot find IPAM plugin "${type}": it is not built in, and not in CNI_PATH ${path.join(':') || '(empty)'}`,
  );
}

/** A link to podlink under the name of an IPAM plugin would call itself, and wait for the lock that its caller holds. */
function refuseItself(type: string, candidate: string, { dev, ino }: BigIntStats): void {
  const own = statSync('/proc/self/exe', { throwIfNoEntry: false, bigint: true });
  if (own?.dev !== dev || own.ino !== ino) return;
  const builtIn = ROLE_ROWS.filter(({ kind }) => kind === 'ipam').map(({ name }) => `"${name}"`);
  throw new FieldError(
    'ipam.type',
    `is ${describeValue(type)}, and ${candidate} is podlink itself: put the IPAM plugin in the place of this link, or take one that is built in (${builtIn.join(', ')})`,
  );
}

/**
 * Run a plugin with our environment, another verb if need be, and the configuration on its standard input. Its stderr
 * goes to ours, and the end of it into the error of a plugin that dies without one of its own. Returns its standard output.
 *
 * Throws the plugin's own error when it printed one, with its code if that is the specification's; else CniError 103.
 */
export function runPlugin(plugin: string, command: Command, env: Environment, stdin: string): string {
  const { error, status, signal, stdout, stderr } = runProgram(plugin, {
    env: { ...env, CNI_COMMAND: command },
    input: stdin,
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: MAX_OUTPUT_BYTES,
  });
  // A plugin that does not read its input has done nothing wrong.
  if (error && !isErrno(error, 'EPIPE')) {
    throw new CniError(
      ERR_DELEGATE_FAILED,
      `Cannot run IPAM plugin ${plugin} for ${command}: ${error.message}`,
      lastWords(stderr),
    );
  }
  if (status === 0) return stdout;
  const how = status === null ? signal || 'a signal' : `exit status ${status}`;
  throw pluginError(`IPAM plugin ${plugin} failed (${command})`, how, { stdout, stderr });
}

function pluginError(action: string, how: string, { stdout, stderr }: Pick<ProgramEnd, 'stdout' | 'stderr'>): CniError {
  let reply: unknown;
  try {
    reply = JSON.parse(stdout);
  } catch {
    // Not an error object: what it printed is shown below.
  }
  if (isObject(reply) && typeof reply.code === 'number' && typeof reply.msg === 'string') {
    const details = typeof reply.details === 'string' ? reply.details : '';
    // The specification's codes mean the same from everybody; 100 and up are each plugin's own, and 999 says nothing.
    const { code } = reply;
    const isShared = code > 0 && code < 100;
    return new CniError(isShared ? code : ERR_DELEGATE_FAILED, `${action}: ${reply.msg}`, details);
  }
  const words = lastWords(stderr);
  return new CniError(ERR_DELEGATE_FAILED, `${action}: ${how}${words && `: ${words}`}`, stdout.trim().slice(0, 500));
}

const MAX_WORDS = 500;

/** The end of what a program wrote on standard error, where it says why it died. */
function lastWords(stderr: string): string {
  const text = stderr.trim();
  return text.length > MAX_WORDS ? `…${text.slice(-MAX_WORDS)}` : text;
}
