// One call of the bundle, run from a file under plain Node, that writes down which functions ran: where in the bundle they
// end. Started by write-call-profile.ts.
//
// usage: node profiled-call.ts BUNDLE COVERAGE      environment and standard input as for the executable

import { readFileSync, writeFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { runInThisContext } from 'node:vm';
import { offsetInBundle } from './snapshot-script.ts';

const [bundleFile = '', coverageFile = ''] = process.argv.slice(2);
const session = new Session();
session.connect();
// exit() takes its place.
const leave = process.exit.bind(process);

/** The functions that have run since it was last asked, by the end of each. */
function takeCoverage(): number[] {
  let coverage: Profiler.ScriptCoverage[] = [];
  session.post('Profiler.takePreciseCoverage', (error, { result }) => {
    if (error) throw error;
    coverage = result;
  });
  const functions = coverage.find(({ url }) => url === 'podlink.cjs')?.functions ?? [];
  return functions.flatMap(({ ranges: [range] }) =>
    range && range.count > 0 ? [offsetInBundle(range.endOffset)] : [],
  );
}

function exit(code: number): never {
  writeFileSync(coverageFile, JSON.stringify(takeCoverage()));
  return leave(code);
}

type Call = (...args: readonly unknown[]) => unknown;

interface Ffi {
  readonly DynamicLibrary: new (path: null) => { getFunction(symbol: string, signature: object): Call };
  readonly getInt32: unknown;
}

/** exit_group(2), by process.arch, as in cni/kernel/syscalls.ts, with which the process ends. */
const EXIT_GROUP = { x64: 231n, arm64: 94n }[process.arch as 'x64' | 'arm64'];

/** node:ffi, as cni/kernel/syscalls.ts uses it, but that the end of the process leaves time to write. */
function internalBinding(name: string): object {
  const ffi = process.getBuiltinModule(`node:${name}`) as Ffi;
  class DynamicLibrary {
    readonly #library = new ffi.DynamicLibrary(null);
    getFunction(symbol: string, signature: object): Call {
      const call = this.#library.getFunction(symbol, signature);
      return (...args) => (symbol === 'syscall' && args[0] === EXIT_GROUP ? exit(Number(args[1])) : call(...args));
    }
  }
  return { DynamicLibrary, getInt32: ffi.getInt32 };
}

session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
const evaluate = runInThisContext(readFileSync(bundleFile, 'utf8')) as (...given: unknown[]) => void;
process.argv = [process.execPath, 'podlink'];
let main: (() => Promise<void>) | undefined;
evaluate(process.getBuiltinModule, 'podlink', internalBinding, (given: () => Promise<void>) => {
  main = given;
});
takeCoverage();
process.exit = exit as typeof process.exit;
await main?.();
