// `network ls|inspect`, `attachment ls|inspect`, `ipam ls|show|release`: what is there, for people and for programs.

import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { addPod, delPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { getLink } from '../harness/referee.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('listings');

interface Node {
  readonly cart: Pod;
  readonly dns: Pod;
  /** Options that name the host's own directories. */
  readonly dirs: readonly string[];
}

/** Two pods in a dual-stack network that is configured, and a container without a network of its own. */
function node(host: Host): Node {
  const config = host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
  });
  const confDir = writeConfDir(host, [config]);
  const cart = addPod(host, config, { args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0' });
  const dns = addPod(host, config);
  const none = { cniVersion: '1.0.0', name: 'alone', type: 'podlink', mode: 'none' };
  assert.is(host.invoke('ADD', { config: none, container: host.addContainer() }).code, 0);
  return { cart, dns, dirs: ['--conf-dir', confDir] };
}

test('network ls shows networks with and without a file', NO_COMMANDS, (host) => {
  const { dirs } = node(host);
  const rows = mustTell<Record<string, unknown>[]>(host, ['network', 'ls', ...dirs]);
  assert.equal(
    rows.map(({ file, ...row }) => ({ ...row, hasFile: file !== null })),
    [
      { name: 'alone', mode: 'none', bridge: null, subnets: [], attachments: 1, hasFile: false },
      {
        name: 'pods',
        mode: 'bridge',
        bridge: 'cni0',
        subnets: ['10.77.0.0/24', 'fd00:77::/64'],
        attachments: 2,
        hasFile: true,
      },
    ],
  );
  const text = mustSay(host, ['network', 'ls', ...dirs]);
  assert.match(text, /^NETWORK +MODE +BRIDGE +SUBNETS +ATTACHMENTS +CONFIGURED IN\n/);
  assert.match(text, /^pods +bridge +cni0 +10\.77\.0\.0\/24, fd00:77::\/64 +2 +\/.*10-pods\.conflist$/m);
  assert.not.match(text, / $/m);
  assert.not.ok(text.includes('\u001b'), 'no colour where there is no terminal');
});

test('network ls goes on after a file that cannot be read, and says so', NO_COMMANDS, (host) => {
  const { dirs } = node(host);
  host.namespace.mustRun('tee', [`${dirs[1]}/05-broken.conflist`], { input: '{' });
  const { stdout, stderr } = mustEndWithWarning(host, ['network', 'ls', ...dirs]);
  assert.match(stdout, /^pods /m);
  assert.match(stderr, /05-broken\.conflist: unexpected end of JSON input: not looked at/);
});

function mustEndWithWarning(host: Host, args: readonly string[]): { stdout: string; stderr: string } {
  const output = host.namespace.run(`${host.pluginFolder}/podlink`, args, { env: { PODLINK_RUN_DIR: host.runDir } });
  assert.is(output.code, 0, output.stderr);
  return output;
}

test("network inspect has Docker's shape", NO_COMMANDS, (host) => {
  const { cart, dns, dirs } = node(host);
  const [network, ...others] = JSON.parse(mustSay(host, ['network', 'inspect', 'pods', ...dirs]));
  assert.equal(others, []);
  assert.equal(Object.keys(network).sort(), [
    ...['Attachable', 'ConfigFrom', 'ConfigOnly', 'Containers', 'Created', 'Driver', 'EnableIPv4', 'EnableIPv6'],
    ...['IPAM', 'Id', 'Ingress', 'Internal', 'Labels', 'Name', 'Options', 'Scope'],
  ]);
  assert.equal([network.Name, network.Driver, network.Scope, network.EnableIPv6], ['pods', 'bridge', 'local', true]);
  assert.equal(network.IPAM.Config, [
    { Subnet: '10.77.0.0/24', Gateway: '10.77.0.1' },
    { Subnet: 'fd00:77::/64', Gateway: 'fd00:77::1' },
  ]);
  assert.equal(Object.keys(network.Containers).sort(), [cart.namespace.name, dns.namespace.name].sort());
  const { EndpointID: _, ...container } = network.Containers[cart.namespace.name];
  assert.equal(container, {
    Name: 'shop/cart-0',
    MacAddress: getLink(cart.namespace, 'eth0').address,
    IPv4Address: `${cart.ipv4}/24`,
    IPv6Address: `${cart.ipv6}/64`,
  });
  assert.is(network.Options['com.docker.network.bridge.name'], 'cni0');
  assert.is(network.Options['com.docker.network.bridge.enable_ip_masquerade'], 'true');
  assert.match(
    mustEnd(host, ['network', 'inspect', 'pod', ...dirs], 1).stderr,
    /no network "pod"; did you mean "pods"\?/,
  );
});

test('attachment ls shows every attachment, and those of a network', NO_COMMANDS, (host) => {
  const { cart } = node(host);
  const rows = mustTell<Record<string, unknown>[]>(host, ['attachment', 'ls']);
  assert.equal(
    rows.map(({ network }) => network),
    ['alone', 'pods', 'pods'],
  );
  const row = rows.find(({ containerId }) => containerId === cart.namespace.name);
  assert.equal([row?.interface, row?.mode, row?.state], ['eth0', 'bridge', 'complete']);
  assert.equal(row?.addresses, [`${cart.ipv4}/24`, `${cart.ipv6}/64`]);
  assert.equal(row?.pod, { namespace: 'shop', name: 'cart-0' });
  assert.is(mustTell<unknown[]>(host, ['attachment', 'ls', '--network', 'alone']).length, 1);
  const short = mustSay(host, ['attachment', 'ls', '--network', 'pods']);
  assert.match(short, /^pods +\S{12} +eth0 +bridge +10\.77\.0\.2\/24, fd00:77::2\/64 +shop\/cart-0 +\d+s +complete$/m);
  assert.ok(mustSay(host, ['attachment', 'ls', '--no-trunc']).includes(cart.namespace.name));
  cart.namespace.remove();
  assert.match(mustSay(host, ['attachment', 'ls']), /shop\/cart-0 +\d+s +stale$/m);
});

test('attachment inspect takes the beginning of an ID, and looks as CHECK does', NO_COMMANDS, (host) => {
  const { cart, dns } = node(host);
  const id = cart.namespace.name;
  const text = mustSay(host, ['attachment', 'inspect', id]);
  assert.match(text, /^pod: +shop\/cart-0$/m);
  assert.match(text, new RegExp(`^host end: +${hostEndOf(host, cart).ifname} on bridge cni0$`, 'm'));
  assert.match(text, /nothing is wrong with it\n$/);
  const ambiguous = id.slice(0, 4);
  assert.match(mustEnd(host, ['attachment', 'inspect', ambiguous], 1).stderr, /is the beginning of 3 containers/);
  assert.match(
    mustEnd(host, ['attachment', 'inspect', id, '--interface', 'eth9'], 1).stderr,
    /no attachment of container/,
  );
  host.namespace.ip('link', 'set', 'cni0', 'down');
  const [inspected] = mustTell<{ containerId: string; problems: string[]; objects: object }[]>(
    host,
    ['attachment', 'inspect', dns.namespace.name.slice(0, -1), '--network', 'pods'],
    1,
  );
  assert.is(inspected?.containerId, dns.namespace.name);
  assert.match(inspected?.problems.join() ?? '', /cni0/);
});

test('ipam shows who holds an address, and releases it only when nobody uses it', NO_COMMANDS, (host) => {
  const { cart, dirs } = node(host);
  const [pods] = mustTell<{ network: string; ranges: { taken: number }[]; reservations: { address: string }[] }[]>(
    host,
    ['ipam', 'ls', ...dirs, '--data-dir', host.dataDir],
  );
  assert.is(pods?.network, 'pods');
  assert.equal(
    pods?.ranges.map(({ taken }) => taken),
    [2, 2],
  );
  assert.equal(
    pods?.reservations.map(({ address }) => address),
    ['10.77.0.2', '10.77.0.3', 'fd00:77::2', 'fd00:77::3'],
  );
  assert.match(mustSay(host, ['ipam', 'ls', ...dirs]), /^pods +10\.77\.0\.1-10\.77\.0\.254 +253 +2 +1%$/m);
  assert.match(
    mustSay(host, ['ipam', 'show', cart.ipv4, ...dirs]),
    new RegExp(`^holder: +container "${cart.namespace.name}" \\(eth0\\)$`, 'm'),
  );
  // Any spelling of the address will do.
  assert.match(mustSay(host, ['ipam', 'show', 'FD00:77:0::2', ...dirs]), /^address: +fd00:77::2$/m);
  const before = host.snapshot();
  const refusal = mustEnd(host, ['ipam', 'release', cart.ipv4, ...dirs], 1).stderr;
  assert.match(refusal, /whose attachment is on record: DEL or "podlink gc" releases it/);
  assert.match(
    mustEnd(host, ['ipam', 'release', '10.77.0.99', ...dirs], 1).stderr,
    /nobody has reserved 10\.77\.0\.99/,
  );
  mustBeEmpty(host.changesSince(before), 'changed');
  host.namespace.mustRun('rm', [`${host.runDir}/attachments/pods/${cart.namespace.name}.eth0.json`]);
  assert.match(mustSay(host, ['ipam', 'release', cart.ipv4, ...dirs]), /^released 10\.77\.0\.2 of network "pods"/);
  assert.match(mustEnd(host, ['ipam', 'show', cart.ipv4, ...dirs], 1).stderr, /nobody has reserved/);
});

test(
  'attachment ls shows two addresses of a shared namespace that has many, and all of them to programs',
  NO_COMMANDS,
  (host) => {
    const container = host.addContainer();
    const config = { cniVersion: '1.0.0', name: 'shared', type: 'podlink', mode: 'host' };
    assert.is(host.invoke('ADD', { config, container }).code, 0);
    // As version 0.1.0 recorded it, which reported all addresses of the host.
    const file = `${host.runDir}/attachments/shared/${container.name}.eth0.json`;
    const record = JSON.parse(readFileSync(file, 'utf8'));
    record.result.ips = [1, 2, 3, 4].map((i) => ({ address: `10.88.${i}.2/24` }));
    writeFileSync(file, JSON.stringify(record));
    const [row] = mustTell<{ addresses: string[] }[]>(host, ['attachment', 'ls']);
    const all = [1, 2, 3, 4].map((i) => `10.88.${i}.2/24`);
    assert.equal(row?.addresses, all);
    assert.match(mustSay(host, ['attachment', 'ls']), / 10\.88\.1\.2\/24, 10\.88\.2\.2\/24, \+2 more /);
    assert.ok(mustSay(host, ['attachment', 'ls', '--no-trunc']).includes(all.join(', ')));
  },
);

test('ipam ls shows the ranges that are configured now, and those of attachments from before', NO_COMMANDS, (host) => {
  const before = host.config({ ipam: host.hostLocal(['10.77.0.0/24']) });
  const now = host.config({ ipam: host.hostLocal(['10.78.0.0/24', 'fd00:77::/64']) });
  const dirs = ['--conf-dir', writeConfDir(host, [now])];
  interface Stock {
    readonly ranges: readonly { readonly range: string; readonly taken: number }[];
    readonly reservations: readonly { readonly range?: string }[];
  }
  for (let pods = 1; pods <= 2; pods++) {
    addPod(host, before);
    const [stock, ...others] = mustTell<Stock[]>(host, ['ipam', 'ls', ...dirs]);
    assert.is(others.length, 0);
    assert.equal(
      stock?.ranges.map(({ range, taken }) => [range.split('-')[0], taken]),
      [
        ['10.78.0.1', 0],
        ['fd00:77::1', 0],
        ['10.77.0.1', pods],
      ],
    );
    assert.ok(stock?.reservations.every(({ range }) => range?.startsWith('10.77.0.1-')));
  }
  assert.match(mustSay(host, ['ipam', 'show', '10.77.0.2', ...dirs]), /^range: +10\.77\.0\.1-/m);
});

test('no listing changes anything', NO_COMMANDS, (host) => {
  const { cart, dirs } = node(host);
  const before = host.snapshot();
  mustSay(host, ['network', 'ls', ...dirs]);
  mustSay(host, ['network', 'inspect', 'pods', ...dirs]);
  mustSay(host, ['attachment', 'ls']);
  mustSay(host, ['attachment', 'inspect', cart.namespace.name]);
  mustSay(host, ['ipam', 'ls', ...dirs]);
  mustSay(host, ['gc', '--dry-run', ...dirs]);
  mustBeEmpty(host.changesSince(before), 'changed');
  delPod(host, cart);
});

run();
