// The operator's command line: what is asked in a wrong way is said in one line and ends with 2; help and versions.

import { spawnSync } from 'node:child_process';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { NO_COMMANDS, mustEnd, mustSay, mustTell, podlink } from '../harness/operator-command.ts';

const { test, run } = cases('command line', { shared: true });

test('without arguments the usage is on standard error, and nothing on standard output', NO_COMMANDS, (host) => {
  const { code, stdout, stderr } = podlink(host, []);
  assert.equal([code, stdout], [0, '']);
  assert.match(stderr, /^podlink \d+\.\d+\.\d+: container networking[\s\S]*podlink network ls/);
});

test('help lists the commands and tells more of each', NO_COMMANDS, (host) => {
  const usage = mustSay(host, ['help']);
  assert.is(usage, mustSay(host, ['--help']));
  const names = [...usage.matchAll(/^ {2}podlink (\S+(?: \S+)?) {2}/gm)].map(([, name = '']) => name);
  assert.ok(names.length >= 14, names.join());
  for (const name of names) {
    const text = mustSay(host, [...name.split(' '), '--help']);
    assert.match(text, new RegExp(`usage: podlink ${name} \\[OPTIONS\\]`));
    assert.match(text, /--help/);
  }
});

test('version is told to people and programs', NO_COMMANDS, (host) => {
  assert.match(
    mustSay(host, ['version']),
    /^podlink \d+\.\d+\.\d+\nCNI protocol versions supported: 0\.1\.0, .*1\.1\.0\n$/,
  );
  const { version, cniVersions } = mustTell<{ version: string; cniVersions: string[] }>(host, ['version']);
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.is(cniVersions.at(-1), '1.1.0');
});

const MISUSES: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['doctro'], /unknown command "doctro"; did you mean "doctor"\?/],
  [['network'], /"network" is one of "network ls", "network inspect"/],
  [['gc', '--dryrun'], /unknown option "--dryrun"; did you mean "--dry-run"\?/],
  [['validate'], /FILE is missing/],
  [['ipam', 'release', 'x'], /ADDRESS must be an IP address, is "x"/],
  [['version', 'now'], /"now" is one argument too many/],
];
test('wrong usage is exit code 2 and one line that says what is right', NO_COMMANDS, (host) => {
  for (const [args, says] of MISUSES) {
    const { stdout, stderr } = mustEnd(host, args, 2);
    assert.is(stdout, '');
    assert.match(stderr, says);
    assert.is(stderr.split('\n').length, 2, stderr);
  }
});

test('the commands are there under every name of the executable', NO_COMMANDS, (host) => {
  const { stdout } = spawnSync(`${host.pluginFolder}/loopback`, ['version'], { encoding: 'utf8', env: {} });
  assert.match(stdout, /^podlink /);
});

test('a reader that closes early is no reason for a stack trace', NO_COMMANDS, (host) => {
  const script = `"${host.pluginFolder}/podlink" completion bash | head -c 1 >/dev/null; "${host.pluginFolder}/podlink" help >&-`;
  const { stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
  assert.is(stderr, '');
});

test('the completion script is good bash', NO_COMMANDS, (host) => {
  const script = mustSay(host, ['completion', 'bash']);
  for (const [words, offered] of [
    ["podlink attachment ''", 'ls inspect\n'],
    ["podlink help attachment ''", 'ls inspect\n'],
    ['podlink help val', 'validate\n'],
  ] as const) {
    const ask = `COMP_WORDS=(${words}); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); _podlink; echo "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', `${script}\n${ask}`], { encoding: 'utf8' });
    assert.equal([stdout, stderr], [offered, '']);
  }
});

run();
