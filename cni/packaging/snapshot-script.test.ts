import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { snapshotScript, wrapBundle } from './snapshot-script.ts';

const test = suite<{ folder: string }>('snapshot script');
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'podlink-snapshot-'));
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true }));

/** Functions as long as those of a program, and a main function that tells what the evaluation has left. */
const STATEMENTS = 'if (b > 100) return [a * b + 1, a - b, String(a)].map((each) => each + b); b += 1;\n'.repeat(20);
const BUNDLE = [
  ...Array.from({ length: 200 }, (_, i) => `function f${i}(a, b) {\n${STATEMENTS}return [a, b, ${i}];\n}`),
  'const { readFileSync } = require("node:fs"); const evaluatedBy = process.pid;',
  'setDeserializeMainFunction(() => console.log(evaluatedBy !== process.pid, typeof readFileSync, f7(2, 1).join()));',
].join('\n');

/** Make a snapshot with a script, as the build's generator does. */
function makeSnapshot(folder: string, change: (script: string) => string = (script) => script) {
  const bundle = join(folder, 'podlink.cjs');
  writeFileSync(bundle, wrapBundle(BUNDLE));
  const script = join(folder, 'snapshot.cjs');
  writeFileSync(script, change(snapshotScript(bundle, [])));
  const blob = join(folder, 'blob');
  const options = { encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--snapshot-blob', blob, '--build-snapshot', script],
    options,
  );
  const { stdout } = spawnSync(process.execPath, ['--snapshot-blob', blob], options);
  return { status, stderr, stdout };
}

test('snapshotScript() evaluates the bundle once, and its main function runs in the deserialized process', ({
  folder,
}) => {
  const { status, stderr, stdout } = makeSnapshot(folder);
  assert.is(status, 0, stderr);
  assert.is(stdout, 'true function 2,21,7\n');
});

test('snapshotScript() fails when V8 does not compile beforehand, or does not know the flag', ({ folder }) => {
  for (const flag of ['--max-lazy', '--no-such-flag']) {
    const { status, stderr } = makeSnapshot(folder, (script) => script.replace('"--no-lazy"', `"${flag}"`));
    assert.is(status, 1);
    assert.match(stderr, /V8 has not compiled the bundle/);
  }
});

test.run();
