// The Dockerfile, without Docker: its build steps run one by one on a copy of what they copy, and its final image is a
// root with nothing else in it, in which the entrypoint runs with its default arguments.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun, run as runProgram } from '../harness/command.ts';

const { test, run } = cases('Dockerfile', { shared: true });

const NO_IMAGE = { absent: 'an image of this kind' } as const;
const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD_TIMEOUT_MS = 8 * 60_000;

interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The stages of the Dockerfile; each begins with its FROM. */
function readStages(): Instruction[][] {
  const stages: Instruction[][] = [];
  for (const line of readFileSync(join(PROJECT, 'Dockerfile'), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    assert.not(line.endsWith('\\'), 'an instruction is one line');
    const [name = '', ...words] = line.split(' ');
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, text: words.join(' ') });
  }
  return stages;
}

/** Carry out the instructions of the build stage; `workdir` stands for its WORKDIR. Returns that. */
function build(instructions: readonly Instruction[], workdir: string): string {
  let inImage = '/';
  for (const { name, text } of instructions) {
    if (name === 'WORKDIR') inImage = text;
    else if (name === 'COPY') copy(text.split(' '), workdir);
    else if (name === 'RUN') {
      const env = { ...process.env, npm_config_prefer_offline: 'true', npm_config_update_notifier: 'false' };
      mustRun('sh', ['-c', text], { cwd: workdir, env, timeoutMs: BUILD_TIMEOUT_MS });
    } else assert.is(name, 'FROM', `the test knows no ${name}`);
  }
  return inImage;
}

function copy(words: readonly string[], workdir: string): void {
  const target = words.at(-1) ?? '';
  for (const source of words.slice(0, -1)) {
    const to = target.endsWith('/') ? join(workdir, target, source) : join(workdir, target);
    cpSync(join(PROJECT, source), to, { recursive: true });
  }
}

function textOf(stage: readonly Instruction[], name: string): string {
  return stage.find((instruction) => instruction.name === name)?.text ?? '';
}

test('its steps build an image of podlink and its licences, whose entrypoint installs on the node', NO_IMAGE, () => {
  const folder = mkdtempSync(join(tmpdir(), 'podlink-image-'));
  try {
    const [first = [], last = [], ...more] = readStages();
    assert.equal(more, []);
    const workdir = join(folder, 'build');
    mkdirSync(workdir);
    const inImage = build(first, workdir);

    assert.is(textOf(last, 'FROM'), 'scratch');
    const root = join(folder, 'image');
    for (const part of ['proc', 'host/opt/cni/bin', 'host/etc/cni/net.d'])
      mkdirSync(join(root, part), { recursive: true });
    for (const { text } of last.filter(({ name }) => name === 'COPY')) {
      const [from, source = '', target = ''] = text.split(' ');
      assert.is(from, '--from=build');
      assert.ok(source.startsWith(`${inImage}/`), source);
      const into = join(root, target);
      mkdirSync(dirname(into), { recursive: true });
      cpSync(join(workdir, source.slice(inImage.length)), into);
    }
    assert.match(readFileSync(join(root, 'LICENSES.txt'), 'utf8'), /^ip-address [\d.]+$/m);

    const words = [...JSON.parse(textOf(last, 'ENTRYPOINT')), ...JSON.parse(textOf(last, 'CMD'))] as string[];
    const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    const command = ['--mount', '--pid', '--fork', '--', 'sh', '-c', enter, root, ...words, '--subnet', '10.9.0.0/16'];
    const { code, stdout, stderr } = runProgram('unshare', command, { env: { PATH: process.env.PATH } });
    assert.is(code, 0, stdout + stderr);
    assert.equal(readdirSync(join(root, 'host/opt/cni/bin')).sort(), [
      '.podlink-installed.json',
      'host-local',
      'loopback',
      'podlink',
      'static',
    ]);
    assert.equal(readdirSync(join(root, 'host/etc/cni/net.d')), ['10-podlink.conflist']);
    const version = mustRun(join(root, 'host/opt/cni/bin/loopback'), [], { env: { CNI_COMMAND: 'VERSION' } });
    assert.match(version, /"cniVersion":"1\.1\.0"/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

run();
