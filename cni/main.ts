// The process: environment, arguments and standard input in; one document on standard output and an exit code out.
//
// This is the only file that touches process, standard streams or the exit code. In the packed executable it is
// evaluated when the startup snapshot is built, and main() runs in the deserialized process: nothing at the top level
// may look at the environment, the arguments or the file system.

import { fstatSync, readSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { isErrno } from './kernel/errno.ts';
import { exitProcess, waitUntilReady } from './kernel/syscalls.ts';
import type { CommandOutcome } from './operator/cli/command-line.ts';
import { CniError, ERR_IO_FAILURE, formatError, toCniError } from './protocol/errors.ts';
import { type AttachmentRequest, readRequest, type Request } from './protocol/request.ts';
import { formatVersionReply } from './protocol/version-reply.ts';
import { LATEST_VERSION } from './protocol/version.ts';
import { logCall, parseLogPath } from './verbs/log/call-log.ts';
import { Context } from './verbs/context.ts';
import { loadScript } from './verbs/packed-script.ts';
import type { Role } from './roles/role.ts';
import { chooseRole } from './roles/role-table.ts';
import { Stopwatch } from './verbs/log/stopwatch.ts';

/** Replaced by build.mjs with package.json's version. */
declare const PODLINK_VERSION: string | undefined;

/** Of node:v8, while the startup snapshot is made: cni/packaging/snapshot-script.ts. */
declare const setDeserializeMainFunction: ((main: () => Promise<void>) => void) | undefined;

async function main(): Promise<void> {
  silenceExperiments();
  const [, program = 'podlink', ...args] = process.argv;
  const isPacked = typeof PODLINK_VERSION === 'string';
  if (!process.env.CNI_COMMAND && (args.length > 0 || !isCalledByRuntime())) {
    const version = isPacked ? PODLINK_VERSION : 'from source';
    process.exit(await serveOperator(args, version));
  }
  exitProcess(await serve(isPacked ? basename(program) : 'podlink'));
}

/**
 * Leave out Node's warning that node:ffi is experimental, which runtimes would log with every call. Others are the
 * operator's to read: what Node deprecates for the sake of security among them.
 */
function silenceExperiments(): void {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: readonly unknown[]) => {
    const [options] = rest;
    const type = typeof options === 'object' && options !== null && 'type' in options ? options.type : options;
    if (type === 'ExperimentalWarning' || (warning instanceof Error && warning.name === 'ExperimentalWarning')) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
}

/** Whether a runtime called us and forgot CNI_COMMAND, which is its error to hear of; a person sets none of these. */
function isCalledByRuntime(): boolean {
  return ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'].some((name) => process.env[name]);
}

/** Carry out a command of the operator's command line, which no runtime's call has to load. Returns the exit code. */
async function serveOperator(args: readonly string[], version: string): Promise<number> {
  const { runCommand } = (await loadScript('operator.cjs')) as typeof import('./operator/cli/command-line.ts');
  const { env } = process;
  const isForEyes = isTerminal(1) && !env.NO_COLOR && env.TERM !== 'dumb';
  const outcome = await runCommand(args, { version, env, isTerminal: isForEyes, readStdin });
  return print(outcome) ? outcome.exitCode : 1;
}

/** Print what a command has to say; false when nobody takes it. */
function print({ stdout, stderr }: CommandOutcome): boolean {
  try {
    writeAll(1, stdout);
    writeAll(2, stderr);
    return true;
  } catch {
    return false; // `podlink help | head -1` closes early: no reason for a stack trace
  }
}

/** Answer a runtime. Returns the exit code. */
async function serve(programName: string): Promise<number> {
  const stopwatch = new Stopwatch();
  stopwatch.mark('start');
  let request: Request | undefined;
  let failure: CniError | undefined;
  try {
    request = readRequest(process.env, process.env.CNI_COMMAND === 'VERSION' ? readStdinBriefly : readStdin);
    stopwatch.mark('parse');
    await answer(request, programName, stopwatch);
    stopwatch.mark('print');
  } catch (error) {
    failure = toCniError(error);
    printFailure(failure, request);
    if (failure.note !== '') warn(failure.note);
    stopwatch.mark('failure');
  }
  report(request, stopwatch, failure);
  return failure ? 1 : 0;
}

function printFailure(failure: CniError, request: Request | undefined): void {
  const asked = request && request.command !== 'VERSION' ? request.config.cniVersion : LATEST_VERSION;
  try {
    writeAll(1, formatError(failure, failure.cniVersion ?? asked));
  } catch {
    warn(failure.message); // standard output is what failed
  }
}

/** Say how the call went to whom it concerns. The runtime has its answer: nothing here makes the call fail. */
function report(request: Request | undefined, stopwatch: Stopwatch, failure: CniError | undefined): void {
  if (process.env.PODLINK_TRACE) warn(`${request?.command ?? 'request'}: ${stopwatch}`);
  try {
    if (!request || request.command === 'VERSION') return;
    const path = parseLogPath(request.config.fields);
    if (path !== undefined) logCall(path, request, stopwatch, failure);
  } catch (error) {
    warn(`Cannot write the call log: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Carry the request out, and print what there is to print. */
async function answer(request: Request, programName: string, stopwatch: Stopwatch): Promise<void> {
  if (request.command === 'VERSION') {
    writeAll(1, formatVersionReply(request.cniVersion));
    return;
  }
  const role = chooseRole(programName, () => request.config.type);
  const context = new Context(process.env, warn, stopwatch);
  try {
    switch (request.command) {
      case 'ADD':
        await printResult(request, role, context);
        break;
      case 'DEL':
        await role.del(request, context);
        break;
      case 'CHECK':
        await role.check(request, context);
        stopwatch.mark('check');
        break;
      case 'GC':
        await role.gc(request, context);
        stopwatch.mark('gc');
        break;
      case 'STATUS':
        await role.status(request, context);
        stopwatch.mark('status');
        break;
    }
  } finally {
    context.close();
  }
}

/** ADD. A result that cannot be handed over is taken back: the runtime believes that nothing was made. */
async function printResult(request: AttachmentRequest, role: Role, context: Context): Promise<void> {
  const text = await role.add(request, context);
  try {
    writeAll(1, text);
  } catch (error) {
    await role.del(request, context);
    const why = error instanceof Error ? error.message : String(error);
    throw new CniError(ERR_IO_FAILURE, 'Cannot print the result of ADD; what it made has been taken back', why);
  }
}

/** Tell the operator. Standard error may be full or closed, and that must not make a call fail. */
function warn(message: string): void {
  try {
    writeAll(2, `podlink: ${message}\n`);
  } catch {
    // There is nobody left to tell.
  }
}

/** All of standard input, as text; nothing from a terminal, where nobody is going to type a configuration. */
function readStdin(): string {
  return isTerminal(0) ? '' : readWhile(() => true);
}

/** node:tty brings a quarter of a megabyte into the snapshot, and what a runtime hands over is a pipe or a file. */
function isTerminal(fd: number): boolean {
  return fstatSync(fd).isCharacterDevice() && process.getBuiltinModule('node:tty').isatty(fd);
}

/** How long VERSION waits for input that it could do without. */
const BRIEFLY_MS = 100;

/** For VERSION, which answers without input too: what comes before nothing comes for a while. */
function readStdinBriefly(): string {
  return isTerminal(0) ? '' : readWhile(() => waitUntilReady(0, 'read', BRIEFLY_MS));
}

function readWhile(isThereMore: () => boolean): string {
  const chunks: Uint8Array[] = [];
  while (isThereMore()) {
    const chunk = new Uint8Array(65_536);
    try {
      const length = readSync(0, chunk);
      if (length === 0) break;
      chunks.push(chunk.subarray(0, length));
    } catch (error) {
      if (isErrno(error, 'EINTR')) continue; // a signal that Node has a handler for, such as SIGUSR1
      // The runtime handed us a non-blocking pipe.
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitUntilReady(0, 'read');
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Write all of a text, whatever the stream takes at a time. Throws node:fs errors: EPIPE when nobody reads. */
function writeAll(fd: number, text: string): void {
  let bytes: Uint8Array = Buffer.from(text, 'utf8');
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      if (isErrno(error, 'EINTR')) continue;
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitUntilReady(fd, 'write');
    }
  }
}

if (typeof setDeserializeMainFunction === 'function') setDeserializeMainFunction(main);
else main();
