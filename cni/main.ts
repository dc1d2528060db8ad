// The process: environment, arguments and standard input in; one document on standard output and an exit code out.
//
// This is the only file that touches process, standard streams or the exit code. In the packed executable it is
// evaluated when the startup snapshot is built, and main() runs in the deserialized process: nothing at the top level
// may look at the environment, the arguments or the file system.

import { readSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { startupSnapshot } from 'node:v8';
import { isErrno } from './kernel/errno.ts';
import { waitUntilReady } from './kernel/syscalls.ts';
import { runCommand } from './operator/command-line.ts';
import { type CniError, formatError, toCniError } from './protocol/errors.ts';
import { readRequest, type Request } from './protocol/request.ts';
import { encodeResult } from './protocol/result-codec.ts';
import { formatVersionReply } from './protocol/version-reply.ts';
import { LATEST_VERSION } from './protocol/version.ts';
import { Context } from './verbs/context.ts';
import { chooseRole } from './verbs/roles.ts';

/** Replaced by build.mjs with package.json's version. */
declare const PODLINK_VERSION: string | undefined;

function main(): void {
  // The only warning there is says that node:ffi is experimental, on the standard error that runtimes log for every pod.
  process.removeAllListeners('warning');
  const [, program = 'podlink', ...args] = process.argv;
  if (!process.env.CNI_COMMAND && (args.length > 0 || !isCalledByRuntime())) {
    const version = typeof PODLINK_VERSION === 'string' ? PODLINK_VERSION : 'from source';
    const outcome = runCommand(args, version);
    writeAll(1, outcome.stdout);
    writeAll(2, outcome.stderr);
    process.exit(outcome.exitCode);
  }
  process.exit(serve(basename(program)));
}

/** Whether a runtime called us and forgot CNI_COMMAND, which is its error to hear of; a person sets none of these. */
function isCalledByRuntime(): boolean {
  return ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'].some((name) => process.env[name]);
}

/** Answer a runtime. Returns the exit code. */
function serve(programName: string): number {
  let cniVersion: string | undefined;
  try {
    const request = readRequest(process.env, readStdin);
    if (request.command !== 'VERSION') cniVersion = request.config.cniVersion;
    writeAll(1, answer(request, programName));
    return 0;
  } catch (error) {
    const cniError: CniError = toCniError(error);
    writeAll(1, formatError(cniError, cniError.cniVersion ?? cniVersion ?? LATEST_VERSION));
    return 1;
  }
}

/** Carry the request out and return what goes to standard output. */
function answer(request: Request, programName: string): string {
  if (request.command === 'VERSION') return formatVersionReply(request.cniVersion);
  const role = chooseRole(programName, request.config.type);
  const context = new Context(process.env, (message) => writeAll(2, `podlink: ${message}\n`));
  try {
    switch (request.command) {
      case 'ADD':
        return encodeResult(role.add(request, context), request.config.cniVersion);
      case 'DEL':
        role.del(request, context);
        return '';
      case 'CHECK':
        role.check(request, context);
        return '';
      case 'GC':
        role.gc(request, context);
        return '';
      case 'STATUS':
        role.status(request, context);
        return '';
    }
  } finally {
    context.close();
  }
}

/** All of standard input, as text; nothing from a terminal, where nobody is going to type a configuration. */
function readStdin(): string {
  if (isatty(0)) return '';
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = new Uint8Array(65_536);
    try {
      const length = readSync(0, chunk);
      if (length === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, length));
    } catch (error) {
      if (isErrno(error, 'EOF')) return Buffer.concat(chunks).toString('utf8');
      // The runtime handed us a non-blocking pipe or terminal.
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitUntilReady(0, 'read');
    }
  }
}

/** Write all of a text, whatever the stream takes at a time. */
function writeAll(fd: number, text: string): void {
  let bytes: Uint8Array = Buffer.from(text, 'utf8');
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      // Nobody reads any more: there is nobody left to tell.
      if (isErrno(error, 'EPIPE')) return;
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitUntilReady(fd, 'write');
    }
  }
}

if (startupSnapshot.isBuildingSnapshot()) startupSnapshot.setDeserializeMainFunction(main);
else main();
