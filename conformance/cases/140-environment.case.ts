// Bad environment: variables missing, malformed, or naming what is not there.

import { writeFileSync } from 'node:fs';
import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';

const { test, run } = cases('bad environment', { shared: true });
const CODES = { differs: 'the reference accepts some of it, or says it in other words', seen: /rows|changed/ } as const;
const env = (variables: Record<string, string | undefined>) => ({ call: { env: variables } });

const MISSING: readonly BadInput[] = [
  { what: 'no container ID', code: 4, says: /\[CNI_CONTAINERID\] missing/, ...env({ CNI_CONTAINERID: undefined }) },
  { what: 'empty container ID', code: 4, says: /\[CNI_CONTAINERID\] missing/, ...env({ CNI_CONTAINERID: '' }) },
  { what: 'no namespace', code: 4, says: /\[CNI_NETNS\] missing/, ...env({ CNI_NETNS: undefined }) },
  { what: 'empty namespace', code: 4, says: /\[CNI_NETNS\] missing/, ...env({ CNI_NETNS: '' }) },
  { what: 'no interface', code: 4, says: /\[CNI_IFNAME\] missing/, ...env({ CNI_IFNAME: undefined }) },
  {
    what: 'three missing, in their order',
    code: 4,
    says: /\[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\] missing/,
    ...env({ CNI_IFNAME: undefined, CNI_NETNS: undefined, CNI_CONTAINERID: undefined }),
  },
  { what: 'no command', code: 4, says: /\[CNI_COMMAND\] missing/, ...env({ CNI_COMMAND: undefined }) },
  { what: 'unknown command', code: 4, says: /unknown CNI_COMMAND: REMOVE/, ...env({ CNI_COMMAND: 'REMOVE' }) },
  { what: 'command in lower case', code: 4, says: /unknown CNI_COMMAND: add/, ...env({ CNI_COMMAND: 'add' }) },
  { what: 'command of an object', code: 4, says: /unknown CNI_COMMAND: toString/, ...env({ CNI_COMMAND: 'toString' }) },
  {
    what: 'DEL, no container ID',
    command: 'DEL',
    code: 4,
    says: /\[CNI_CONTAINERID\] missing/,
    ...env({ CNI_CONTAINERID: '' }),
  },
  { what: 'DEL, no interface', command: 'DEL', code: 4, says: /\[CNI_IFNAME\] missing/, ...env({ CNI_IFNAME: '' }) },
  { what: 'CHECK, no namespace', command: 'CHECK', code: 4, says: /\[CNI_NETNS\] missing/, ...env({ CNI_NETNS: '' }) },
];

const NAMES: readonly BadInput[] = [
  ...['../x', 'a/b', '-a', '.a', '_a', 'a b', 'a\n', 'ä', 'a;b', 'a%'].map((id) => ({
    what: `container ID ${JSON.stringify(id)}`,
    code: 4,
    says: /invalid characters in containerID[\s\S]/,
    ...env({ CNI_CONTAINERID: id }),
  })),
  {
    what: 'interface of 16 bytes',
    code: 4,
    says: /interface name is too long/,
    ...env({ CNI_IFNAME: 'a'.repeat(16) }),
  },
  { what: '8 letters of 2 bytes', code: 4, says: /interface name is too long/, ...env({ CNI_IFNAME: 'ä'.repeat(8) }) },
  { what: 'interface .', code: 4, says: /interface name is \. or \.\./, ...env({ CNI_IFNAME: '.' }) },
  { what: 'interface ..', code: 4, says: /interface name is \. or \.\./, ...env({ CNI_IFNAME: '..' }) },
  ...['a/b', 'eth0:1', 'a b', 'a\tb', 'a\u00a0b', 'a\u2028'].map((name) => ({
    what: `interface ${JSON.stringify(name)}`,
    code: 4,
    says: /interface name contains \/ or : or whitespace/,
    ...env({ CNI_IFNAME: name }),
  })),
  { what: 'interface with a pattern', code: 4, says: /CNI_IFNAME.*"eth%d"/, ...env({ CNI_IFNAME: 'eth%d' }) },
  {
    what: 'DEL with a bad ID',
    command: 'DEL',
    code: 4,
    says: /invalid characters in containerID/,
    ...env({ CNI_CONTAINERID: '../x' }),
  },
];

const ARGUMENTS: readonly BadInput[] = [
  { what: 'a piece without =', code: 4, says: /CNI_ARGS.*"IP"/, call: { args: 'IP' } },
  { what: 'a piece without key', code: 4, says: /CNI_ARGS.*"=x"/, call: { args: 'A=1;=x' } },
  { what: 'IP that is none', code: 4, says: /CNI_ARGS "IP".*"10\.77\.0"/, call: { args: 'IP=10.77.0' } },
  { what: 'IP in no range', code: 7, says: /10\.9\.9\.9.*10\.77\.0\.1-10\.77\.0\.254/, call: { args: 'IP=10.9.9.9' } },
  { what: "the gateway's IP", code: 7, says: /10\.77\.0\.1 is subnet's gateway/, call: { args: 'IP=10.77.0.1' } },
  { what: 'the broadcast address', code: 7, says: /10\.77\.0\.255.*broadcast/, call: { args: 'IP=10.77.0.255' } },
  { what: 'MAC that is none', code: 4, says: /MAC in CNI_ARGS.*"02:00"/, call: { args: 'MAC=02:00' } },
  { what: 'MAC of a group', code: 4, says: /MAC in CNI_ARGS.*unicast/, call: { args: 'MAC=01:00:5e:00:00:01' } },
  { what: 'MAC of zeros', code: 4, says: /MAC in CNI_ARGS.*unicast/, call: { args: 'MAC=00:00:00:00:00:00' } },
];

const OURS = { absent: 'the code and the text of the error; it accepts some of these' } as const;

test('variables that are missing or malformed are refused by name', CODES, (host) => {
  mustRefuseEach(host, host.addContainer(), [...MISSING, ...NAMES]);
});

test('CNI_ARGS that are malformed or ask for what cannot be are refused by name', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), ARGUMENTS);
});

test('a CNI_NETNS that is no namespace is refused, and nothing has changed', OURS, (host) => {
  const file = `${host.folder}/file`;
  writeFileSync(file, '');
  const row = (what: string, netns: string, says: RegExp, code = 4): BadInput => ({
    what,
    code,
    says,
    call: { netns },
  });
  mustRefuseEach(host, host.addContainer(), [
    row('relative path', 'run/netns/x', /CNI_NETNS.*absolute path.*run\/netns\/x/),
    row('nothing there', '/run/netns/nowhere', /CNI_NETNS.*"\/run\/netns\/nowhere"/),
    row('below a file', `${file}/x`, /CNI_NETNS.*file\/x/),
    row('a file', file, /CNI_NETNS.*\/file/),
    row('a folder', host.folder, /CNI_NETNS/),
    row('another kind of namespace', '/proc/self/ns/uts', /CNI_NETNS.*\/proc\/self\/ns\/uts/),
    row('a device', '/dev/null', /CNI_NETNS.*\/dev\/null/),
    row("the host's own", host.namespace.path, /CNI_NETNS should not be the same/, 8),
    row("the process's own", '/proc/self/ns/net', /CNI_NETNS should not be the same/, 8),
    {
      ...row('CHECK, nothing there', '/run/netns/nowhere', /CNI_NETNS/),
      command: 'CHECK',
      config: { prevResult: { ips: [] } },
    },
  ]);
});

run();
