import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Surroundings } from './command.ts';
import { type CommandOutcome, runCommand } from './command-line.ts';
import { COMMANDS } from './command-table.ts';

const test = suite('command line');

function surroundings(more: Partial<Surroundings> = {}): Surroundings {
  const env = { PODLINK_RUN_DIR: '/nonexistent/podlink' };
  return { version: '1.2.3', env, isTerminal: false, readStdin: () => '', ...more };
}

function run(...args: string[]): Promise<CommandOutcome> {
  return runCommand(args, surroundings());
}

test('runCommand() without arguments prints the usage on standard error', async () => {
  const { exitCode, stdout, stderr } = await run();
  assert.equal([exitCode, stdout], [0, '']);
  assert.match(stderr, /^podlink 1\.2\.3: /);
});

for (const args of [['help'], ['--help'], ['-h']]) {
  test(`runCommand(${args}) lists every command`, async () => {
    const { exitCode, stdout, stderr } = await run(...args);
    assert.equal([exitCode, stderr], [0, '']);
    for (const { name, summary } of COMMANDS)
      assert.ok(stdout.includes(`podlink ${name} `) && stdout.includes(summary), name);
  });
}

for (const command of COMMANDS) {
  test(`runCommand() explains "${command.name}", with --help and by help alike`, async () => {
    const words = command.name.split(' ');
    const [asked, told] = [await run(...words, '--help'), await run('help', ...words)];
    assert.equal([asked.exitCode, asked.stderr], [0, '']);
    if (words.length > 1) assert.is(told.stdout, asked.stdout);
    assert.match(asked.stdout, new RegExp(`usage: podlink ${command.name} \\[OPTIONS\\]`));
    for (const { name } of command.options) assert.ok(asked.stdout.includes(`--${name}`), name);
    assert.ok(
      asked.stdout.split('\n').every((line) => line.length <= 120),
      'no line is longer than a terminal',
    );
  });
}

const MISUSES: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['doctro'], /^podlink: unknown command "doctro"; did you mean "doctor"\? \("podlink help" lists them\)\n$/],
  [['zzzzzz'], /^podlink: unknown command "zzzzzz" \("podlink help" lists them\)\n$/],
  [['network'], /"network" is one of "network ls", "network inspect"/],
  [['network', '--json'], /"network" is one of/],
  [['network', 'sl'], /unknown command "network sl"; did you mean "network ls"\?/],
  [['help', 'doctr'], /unknown command "doctr"; did you mean "doctor"\?/],
  [
    ['doctor', '--stirct'],
    /^podlink: doctor: unknown option "--stirct"; did you mean "--strict"\? \("podlink doctor --help"/,
  ],
  [['doctor', '-x'], /unknown option "-x"/],
  [['doctor', 'now'], /"now" is one argument too many/],
  [['validate'], /validate: FILE is missing/],
  [['validate', ''], /FILE must not be empty/],
  [['attachment', 'inspect'], /ID is missing/],
  [['attachment', 'inspect', 'a', 'b'], /"b" is one argument too many/],
  [['attachment', 'ls', '--network'], /'--network <value>' argument missing/],
  [['doctor', '--strict=yes'], /does not take an argument/],
  [['ipam', 'show', '10.1.2'], /ADDRESS must be an IP address, is "10\.1\.2"/],
  [['ipam', 'release', '10.1.2.0/24'], /ADDRESS must be an IP address/],
  [['completion', 'fish'], /SHELL must be bash, is "fish"/],
  [['help', '--json'], /unknown option "--json"/],
];
for (const [args, says] of MISUSES) {
  test(`runCommand(${JSON.stringify(args)}) is wrong usage`, async () => {
    const { exitCode, stdout, stderr } = await run(...args);
    assert.equal([exitCode, stdout], [2, '']);
    assert.match(stderr, says);
    assert.is(stderr.trimEnd().split('\n').length, 1, 'one line');
  });
}

const FAILURES: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['network', 'ls', '--conf-dir', '/nonexistent'], /there is no directory "\/nonexistent"/],
  [['network', 'inspect', 'x', '--conf-dir', '/'], /there is no network "x" \("podlink network ls" lists them\)/],
  [['attachment', 'inspect', 'x'], /no attachment of container "x" is on record/],
  [['repair', 'x', '--network', 'y'], /no attachment of container "x" in network "y"/],
  [['ipam', 'show', '10.1.2.3', '--conf-dir', '/', '--data-dir', '/nonexistent'], /nobody has reserved 10\.1\.2\.3/],
  [['ipam', 'ls', '--conf-dir', '/', '--data-dir', 'x'], /must be an absolute path, is "x"/],
];
for (const [args, says] of FAILURES) {
  test(`runCommand(${JSON.stringify(args)}) fails in one line`, async () => {
    const { exitCode, stdout, stderr } = await run(...args);
    assert.equal([exitCode, stdout], [1, '']);
    assert.match(stderr, says);
    assert.is(stderr.trimEnd().split('\n').length, 1);
  });
}

test('runCommand() lists nothing where there is nothing, as text and as JSON', async () => {
  const nowhere = ['--conf-dir', '/', '--data-dir', '/nonexistent'];
  for (const [args, head] of [
    [['network', 'ls', '--conf-dir', '/'], 'NETWORK  MODE'],
    [['attachment', 'ls'], 'NETWORK  CONTAINER'],
    [['ipam', 'ls', ...nowhere], 'ADDRESS  NETWORK'],
  ] as const) {
    const text = await run(...args);
    assert.equal([text.exitCode, text.stderr], [0, '']);
    assert.ok(text.stdout.startsWith(head), text.stdout);
    assert.equal(JSON.parse((await run(...args, '--json')).stdout), []);
  }
  assert.is((await run('repair')).stdout, '0 attachments\n');
  assert.equal(JSON.parse((await run('repair', '--json')).stdout), []);
});

test('runCommand() prints versions for people and programs', async () => {
  assert.match(
    (await run('version')).stdout,
    /^podlink 1\.2\.3\nCNI protocol versions supported: 0\.1\.0, .*1\.1\.0\n$/,
  );
  assert.match((await run('--version')).stdout, /^podlink 1\.2\.3\n/);
  const { version, cniVersions } = JSON.parse((await run('version', '--json')).stdout);
  assert.is(version, '1.2.3');
  assert.is(cniVersions.at(-1), '1.1.0');
});

test('runCommand() validates standard input, and colours only for a terminal', async () => {
  const readStdin = () => '{"name": "x"';
  const plain = await runCommand(['validate', '-'], surroundings({ readStdin }));
  assert.is(plain.exitCode, 1);
  assert.match(plain.stdout, /^standard input: 1 error .*\n {2}error {4}not JSON: unexpected end of JSON input\n$/);
  const coloured = await runCommand(['validate', '-'], surroundings({ readStdin, isTerminal: true }));
  assert.ok(coloured.stdout.includes('\u001b[31m1 error\u001b[39m'));
});

/** What bash offers after these words, the last one being completed. */
function completionsOf(script: string, words: readonly string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ');
  const program = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _podlink; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', program], { encoding: 'utf8' });
  assert.equal([status, stderr], [0, '']);
  return stdout.split('\n').filter((word) => word !== '');
}

test('the completion for bash knows commands, options and what stands in their place', async () => {
  const { stdout } = await run('completion', 'bash');
  const complete = (...words: string[]) => completionsOf(stdout, ['podlink', ...words]).sort();
  assert.equal(complete(''), [...new Set(COMMANDS.map(({ name }) => name.split(' ')[0] ?? ''))].sort());
  assert.equal(complete('net'), ['network']);
  assert.equal(complete('network', ''), ['inspect', 'ls']);
  assert.equal(complete('network', 'ls', '--'), ['--conf-dir', '--help', '--json']);
  assert.equal(complete('gc', '--d'), ['--data-dir', '--dry-run']);
  assert.equal(complete('completion', ''), ['bash']);
  assert.equal(complete('help', ''), complete(''));
  assert.equal(complete('help', 'net'), ['network']);
  assert.equal(complete('help', 'network', ''), ['inspect', 'ls']);
  assert.equal(complete('help', 'validate', ''), []);
  assert.equal(complete('help', '--'), ['--help']);
  assert.equal(complete('network', 'ls', '--conf-dir', '/et'), ['/etc']);
  assert.equal(
    complete('validate', '/etc/passw'),
    ['/etc/passwd', '/etc/passwd-'].filter((path) => complete('validate', path).length > 0),
  );
  assert.equal(complete('attachment', 'ls', '--network', ''), []);
});

test.run();
