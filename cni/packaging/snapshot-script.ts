// The script that makes the startup snapshot: it evaluates the bundle, and has V8 compile the functions that calls run.

import type { FunctionPlace } from './call-profile.ts';

/** Before and behind the bundle, which is a function: of what it finds in the snapshot's script. */
const BEFORE = '(function (require, __filename, internalBinding, setDeserializeMainFunction) {';
const BEHIND = '\n})\n//# sourceURL=podlink.cjs';

/** The bundle as snapshotScript() reads it. */
export function wrapBundle(bundle: string): string {
  return BEFORE + bundle + BEHIND;
}

/** Where that lies in the bundle which is at `offset` of the wrapped one. */
export function offsetInBundle(offset: number): number {
  return offset - BEFORE.length;
}

/**
 * The text of the script, which reads the wrapped bundle from a file: what is in the script itself stays in the snapshot.
 * To be run with `--expose-internals`: node:v8 would bring 24 modules of Node into the snapshot, of which one function is
 * needed; and libc is called by what lies under node:ffi (cni/kernel/syscalls.ts).
 *
 * A function is compiled by asking the debugger where breakpoints may be in it. V8 forgets what it has compiled when
 * nobody calls it for a while, hence the flag.
 */
export function snapshotScript(bundleFile: string, compiled: readonly FunctionPlace[]): string {
  const ends = compiled.map(({ end }) => BEFORE.length + end);
  return `
    const { internalBinding } = require('internal/test/binding');
    const { setDeserializeMainFunction } = require('internal/v8/startup_snapshot').namespace;
    const { setFlagsFromString } = internalBinding('v8');
    const source = require('node:fs').readFileSync(${JSON.stringify(bundleFile)}, 'latin1');
    setFlagsFromString('--no-flush-bytecode');
    (0, eval)(source)(require, __filename, internalBinding, setDeserializeMainFunction);
    (${compileFunctions})(source, ${JSON.stringify(ends)}, internalBinding('inspector').Connection);
    setFlagsFromString('--flush-bytecode');`;
}

/** Runs in the script: its text is put there. */
function compileFunctions(
  source: string,
  ends: readonly number[],
  Connection: new (receive: (message: string) => void) => { dispatch(message: string): void; disconnect(): void },
): void {
  const messages: { id?: number; method?: string; params?: { url: string; scriptId: string }; error?: object }[] = [];
  const connection = new Connection((message) => messages.push(JSON.parse(message)));
  const ask = (id: number, method: string, params = {}): void => {
    connection.dispatch(JSON.stringify({ id, method, params }));
    const answer = messages.find((message) => message.id === id);
    if (!answer || answer.error) throw new Error(`${method} failed: ${JSON.stringify(answer)}`);
  };
  const positionOf = (offset: number): object => {
    const lines = source.slice(0, offset).split('\n');
    return { lineNumber: lines.length - 1, columnNumber: lines.at(-1)?.length ?? 0 };
  };
  ask(0, 'Debugger.enable');
  const script = messages.find(
    ({ method, params }) => method === 'Debugger.scriptParsed' && params?.url === 'podlink.cjs',
  );
  if (!script?.params) throw new Error('V8 does not know the script');
  const { scriptId } = script.params;
  ends.forEach((end, i) => {
    // The last character of a function is in none of those within, but for arrows that end together.
    const [last, behind] = [end - 1, end].map((offset) => ({ scriptId, ...positionOf(offset) }));
    ask(i + 1, 'Debugger.getPossibleBreakpoints', { start: last, end: behind, restrictToFunction: true });
  });
  ask(ends.length + 1, 'Debugger.disable');
  connection.disconnect();
}
