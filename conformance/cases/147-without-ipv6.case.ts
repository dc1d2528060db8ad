// Kernels without IPv6: built without it, or booted with ipv6.disable=1 (`npm run test:vm -- --append ipv6.disable=1 --only
// 147-`). On any other kernel the plugin is shown /proc/sys as such a kernel has it.

import { existsSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { mustTell, NO_COMMANDS, podlink, writeConfDir } from '../harness/operator-command.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { addWholePod, mustRefuseWhole } from '../harness/whole-chain.ts';
import { skip } from '../suite/skip.ts';

const { test, run } = cases('a kernel without IPv6');

const OURS = { absent: 'an error that names what the kernel lacks' };
const IS_REAL = !existsSync('/proc/sys/net/ipv6/conf');
/** As the kernel shows itself when it was booted with ipv6.disable=1: no sysctl of IPv6 anywhere. */
const PRETENDING = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc/sys/net/ipv6 && exec "$@"', 'sh'];
const WITHOUT_IPV6: Pick<Invocation, 'under'> = IS_REAL ? {} : { under: PRETENDING };

const dual = (host: Host, more: Config = {}): Config =>
  host.config({ cniVersion: '1.1.0', ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), ...more });
const isMeantToStay = (line: string): boolean =>
  /^[+-] (folder|file \S+\/(lock|last_reserved_ip\.\d+|locks\/\S+) )/.test(line);

test('an IPv6 address is refused before anything changes, and DEL has nothing to do', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const invocation = { config: dual(host, { isDefaultGateway: true }), container, ...WITHOUT_IPV6 };
  mustRefuseWhole(host, 'ADD', invocation, 100, /address fd00:77::2\/64 .* no IPv6 \(boot it/);
  const changes = host.changesSince(before);
  mustBeEmpty(
    changes.filter((line) => !isMeantToStay(line)),
    'changed by the refused ADD',
  );
  mustPass(host, 'DEL', invocation);
});

test('STATUS says that the network cannot be served, and serves one without IPv6', OURS, (host) => {
  mustRefuse(host, 'STATUS', { config: dual(host), ...WITHOUT_IPV6 }, 50, /no IPv6 \(boot it/);
  mustPass(host, 'STATUS', { config: dual(host, { ipam: host.hostLocal(['10.77.0.0/24']) }), ...WITHOUT_IPV6 });
});

/** Each of them has a part for IPv6. */
const FEATURES: Config = {
  isDefaultGateway: true,
  ipMasq: true,
  macspoofchk: true,
  icc: false,
  ingressRate: 8_000_000,
  ingressBurst: 8_000_000,
  egressRate: 8_000_000,
  egressBurst: 8_000_000,
  sysctl: { 'net.core.somaxconn': '500' },
  runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 7777, protocol: 'udp' }] },
};

test('IPv4 alone works with every feature, and CHECK, repair and DEL', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = dual(host, { ipam: host.hostLocal(['10.77.0.0/24']), ...FEATURES });
  const pod = addWholePod(host, config, { container, ...WITHOUT_IPV6 });
  assert.ok(canPing(container, '10.77.0.1'));
  const checked = { ...pod.invocation, config: withPrevResult(config, pod.result), ...WITHOUT_IPV6 };
  mustPass(host, 'CHECK', checked);
  host.namespace.mustRun('nft', ['flush', 'ruleset']);
  host.namespace.ip('link', 'set', 'cni0', 'down');
  assert.is(podlink(host, ['repair']).code, 0);
  mustPass(host, 'CHECK', checked);
  mustPass(host, 'DEL', { ...pod.invocation, ...WITHOUT_IPV6 });
  mustLeaveNothing(host, before);
});

test('doctor says that the network needs IPv6', NO_COMMANDS, (host) => {
  if (!IS_REAL) {
    skip('doctor on a kernel without IPv6', 'this one has it (npm run test:vm -- --append ipv6.disable=1 runs it)');
    return;
  }
  const dirs = ['--conf-dir', writeConfDir(host, [dual(host)]), '--data-dir', host.dataDir];
  const args = ['doctor', ...dirs, '--bin-dir', host.pluginFolder];
  const findings = mustTell<{ level: string; what: string; meaning?: string }[]>(host, args, 1);
  const finding = findings.find(({ what }) => /lacks IPv6/.test(what));
  assert.is(finding?.level, 'fail', JSON.stringify(findings));
  assert.match(finding?.meaning ?? '', /"ipam" of network "pods" needs it/);
});

run();
