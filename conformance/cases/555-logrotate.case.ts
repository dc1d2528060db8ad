// The call log under the real logrotate, with the example that podlink brings: no line is lost, whenever it rotates.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('logrotate');
const ABSENT: Reference = { absent: 'a log of calls' };

const EXAMPLE = fileURLToPath(new URL('../../cni/operator/install/logrotate.conf', import.meta.url));
/** The path in the example. */
const EXAMPLE_LOG = '/var/log/podlink.jsonl';

interface Rotation {
  readonly folder: string;
  readonly log: string;
  /** Rotate now, whatever the size. */
  rotate(): void;
}

/** The example, for a log in the host's folder, and a state file of its own. */
function setUp(host: Host): Rotation {
  const folder = join(host.folder, 'log');
  // logrotate goes into no folder that others may write to.
  mkdirSync(folder, { mode: 0o755 });
  const log = join(folder, 'podlink.jsonl');
  const example = readFileSync(EXAMPLE, 'utf8');
  assert.is(example.split(`\n${EXAMPLE_LOG} {`).length, 2, `the example is for ${EXAMPLE_LOG}`);
  const conf = join(host.folder, 'logrotate.conf');
  writeFileSync(conf, example.replace(`\n${EXAMPLE_LOG} {`, `\n${log} {`));
  // Nor does it read what others could have written.
  chmodSync(conf, 0o644);
  const state = join(host.folder, 'logrotate.state');
  return {
    folder,
    log,
    rotate: () => assert.is(mustRun('logrotate', ['-f', '-s', state, conf], { env: { PATH: process.env.PATH } }), ''),
  };
}

/** The lines of all files, the oldest first; each ends in a newline and is one JSON object. */
function linesOf({ folder, log }: Rotation): { file: string; command: string; containerId: string }[] {
  const ageOf = (name: string) => Number(/\.jsonl\.(\d+)/.exec(name)?.[1] ?? 0);
  const names = readdirSync(folder).sort((a, b) => ageOf(b) - ageOf(a));
  return names.flatMap((file) => {
    const bytes = readFileSync(join(folder, file));
    const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    assert.ok(file.startsWith('podlink.jsonl') && text.endsWith('\n'), `${file} ends in a torn line: ${text}`);
    assert.is(statSync(join(folder, file)).mode & 0o777, 0o600, `mode of ${file}, below ${log}`);
    const lines = text.slice(0, -1).split('\n');
    return lines.map((line) => ({ file, ...(JSON.parse(line) as { command: string; containerId: string }) }));
  });
}

test('a renamed log begins anew with the next call, the last but one is compressed', ABSENT, (host) => {
  const rotation = setUp(host);
  const config = host.config({ cniVersion: '1.1.0', log: rotation.log });
  rotation.rotate();
  assert.equal(readdirSync(rotation.folder), [], 'there is nothing to rotate yet');
  const pod = addPod(host, config);
  rotation.rotate();
  assert.equal(readdirSync(rotation.folder), ['podlink.jsonl.1']);
  checkPod(host, pod);
  rotation.rotate();
  delPod(host, pod);
  assert.equal(
    linesOf(rotation).map(({ file, command }) => [file, command]),
    [
      ['podlink.jsonl.2.gz', 'ADD'],
      ['podlink.jsonl.1', 'CHECK'],
      ['podlink.jsonl', 'DEL'],
    ],
  );
  mustPass(host, 'STATUS', { config });
});

test('no line is lost while calls run all the time', ABSENT, async (host) => {
  const rotation = setUp(host);
  const config = host.config({ log: rotation.log });
  const [lanes, calls, rotations] = [3, 8, 6];
  const expected = Array.from({ length: lanes * calls }, (_, i) => `c${i}`);
  const waiting = [...expected];
  let ended = 0;
  const lane = async (): Promise<void> => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const { code, stderr } = await host.start('DEL', { config, containerId: id });
      assert.equal([code, stderr], [0, '']);
      // The calls of the other lanes go on meanwhile.
      if (++ended % (expected.length / rotations) === 0) rotation.rotate();
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const lines = linesOf(rotation);
  assert.equal(lines.map(({ containerId }) => containerId).sort(), expected.toSorted());
  assert.ok(new Set(lines.map(({ file }) => file)).size >= rotations, 'it has been rotated all along');
});

test('a call that has the log open when it is renamed writes into the renamed one', ABSENT, async (host) => {
  const rotation = setUp(host);
  const config = host.config({ log: rotation.log });
  mustPass(host, 'DEL', { config, containerId: 'before' });
  const trace = join(host.folder, 'trace');
  const slowly = ['strace', '-f', '-qq', '-P', rotation.log, '-e', 'trace=openat,write', '-o', trace];
  const under = [...slowly, '-e', 'inject=write:delay_enter=1000000'];
  const ending = host.start('DEL', { config, containerId: 'slow', under });
  const isOpen = () => existsSync(trace) && /openat\(.* = \d+/.test(readFileSync(trace, 'utf8'));
  for (let tries = 0; !isOpen(); tries++) {
    assert.ok(tries < 500, 'the call never opens its log');
    await sleep(20);
  }
  rotation.rotate();
  assert.equal(readFileSync(`${rotation.log}.1`, 'utf8').split('\n').length, 2, 'the slow line is not written yet');
  const { code, stderr } = await ending;
  assert.equal([code, stderr], [0, '']);
  mustPass(host, 'DEL', { config, containerId: 'after' });
  rotation.rotate();
  assert.equal(
    linesOf(rotation).map(({ file, containerId }) => [file, containerId]),
    [
      ['podlink.jsonl.2.gz', 'before'],
      ['podlink.jsonl.2.gz', 'slow'],
      ['podlink.jsonl.1', 'after'],
    ],
  );
});

run();
