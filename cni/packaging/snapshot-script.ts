// The script that makes the startup snapshot: it evaluates the bundle, compiled as a whole.

/** Before and behind the bundle, which is a function of what it finds in the snapshot's script. */
const BEFORE = '(function (require, setDeserializeMainFunction) {';
const BEHIND = '\n})';

/** Wrap the bundle as snapshotScript() reads it. */
export function wrapBundle(bundle: string): string {
  return BEFORE + bundle + BEHIND;
}

/**
 * Format the script, which reads the wrapped bundle from a file: the text of the script itself would stay in the snapshot.
 *
 * V8 compiles a function when it is first called, so in the middle of an ADD, and forgets what nobody calls for a while.
 * It does neither here: the build fails unless the code it has made is as long as the bundle. Both flags go back, since
 * what V8 has compiled of Node's modules is valid only under the flags of the executable: `flags`.
 */
export function snapshotScript(bundleFile: string, flags: readonly string[]): string {
  return `
    const { getHeapStatistics, setFlagsFromString, startupSnapshot } = require('node:v8');
    const { Script } = require('node:vm');
    const source = require('node:fs').readFileSync(${JSON.stringify(bundleFile)}, 'latin1');
    for (const flag of ${JSON.stringify([...flags, '--no-lazy', '--no-flush-bytecode'])}) setFlagsFromString(flag);
    const before = getHeapStatistics().used_heap_size;
    const script = new Script(source, { filename: 'podlink.cjs' });
    const grown = getHeapStatistics().used_heap_size - before;
    setFlagsFromString('--lazy');
    if (grown < source.length) throw new Error('V8 has not compiled the bundle: its heap grew by ' + grown + ' bytes');
    script.runInThisContext()(require, startupSnapshot.setDeserializeMainFunction);
    setFlagsFromString('--flush-bytecode');`;
}
