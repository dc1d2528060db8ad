// The reference host-local and ours, in turns on the same directory: each must take the other's reservations for its own.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import { IpamError } from '../errors.ts';
import { hostLocal } from '../local/host-local.ts';

const REFERENCE = process.env.REFERENCE_HOST_LOCAL ?? '/usr/lib/cni/host-local';

const test = suite<{ dataDir: string }>('ipam interchange with the reference host-local');

test.before.each((context) => {
  context.dataDir = mkdtempSync(join(tmpdir(), 'podlink-interchange-'));
});
test.after.each(({ dataDir }) => rmSync(dataDir, { recursive: true, force: true }));

type Ipam = Record<string, unknown>;

const pool = (dataDir: string): Ipam => ({
  type: 'host-local',
  dataDir,
  ranges: [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/124' }]],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }],
});

function theirs(command: string, containerId: string, ipam: Ipam) {
  const { stdout, status } = spawnSync(REFERENCE, {
    input: JSON.stringify({ cniVersion: '1.0.0', name: 'pods', type: 'x', ipam }),
    env: { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_NETNS: '/x', CNI_IFNAME: 'eth0', CNI_PATH: '/x' },
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, answer: stdout === '' ? {} : JSON.parse(stdout) };
}

const ours = (containerId: string, ipam: Ipam) => ({
  owner: { network: 'pods', containerId, ifname: 'eth0' },
  cniVersion: '1.0.0',
  ipam: new Fields(ipam, 'ipam'),
  runtimeConfig: new Fields({}),
  argsCni: new Fields({}),
  cniArgs: new Map<string, string>(),
  lockDirectory: () => ({ release: () => undefined }),
});
const allocate = (containerId: string, ipam: Ipam) => hostLocal.prepare(ours(containerId, ipam)).allocate();

/** What the directory says, without the empty lock file. */
function contents(dataDir: string): Record<string, string> {
  const directory = join(dataDir, 'pods');
  const names = readdirSync(directory).filter((name) => name !== 'lock');
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
}

if (!existsSync(REFERENCE)) {
  test('interchange with the reference host-local', () => {
    console.log(`\nSKIP ipam interchange: no reference plugin at ${REFERENCE} (Debian: containernetworking-plugins)`);
  });
} else {
  test('both write the same files and answer the same for the same history', ({ dataDir }) => {
    const [one, other] = [join(dataDir, 'ours'), join(dataDir, 'theirs')];
    for (const id of ['a', 'b', 'c']) {
      const { ips, routes, dns } = allocate(id, pool(one));
      const { answer } = theirs('ADD', id, pool(other));
      assert.equal({ ips, routes, dns }, { ips: answer.ips, routes: answer.routes, dns: answer.dns });
    }
    hostLocal.release(ours('b', pool(one)));
    assert.is(theirs('DEL', 'b', pool(other)).status, 0);
    assert.equal(contents(one), contents(other));
    assert.is(Object.keys(contents(one)).length, 6);
  });

  test('allocation goes on where the other left off, until the pool is full for both', ({ dataDir }) => {
    const ipam = pool(dataDir);
    const given = ['a', 'b', 'c', 'd', 'e'].map((id, i) =>
      i % 2 === 0 ? allocate(id, ipam).ips[0]?.address : theirs('ADD', id, ipam).answer.ips[0].address,
    );
    assert.equal(given, ['10.1.0.2/29', '10.1.0.3/29', '10.1.0.4/29', '10.1.0.5/29', '10.1.0.6/29']);
    assert.match(theirs('ADD', 'f', ipam).answer.msg, /no IP addresses available in range set/);
    assert.throws(
      () => allocate('f', ipam),
      (error: unknown) => error instanceof IpamError && error.kind === 'exhausted',
    );
  });

  test('each refuses to allocate twice for a container that the other has served', ({ dataDir }) => {
    const ipam = pool(dataDir);
    allocate('a', ipam);
    theirs('ADD', 'b', ipam);
    assert.match(theirs('ADD', 'a', ipam).answer.msg, /10\.1\.0\.2 has been allocated to a, duplicate allocation/);
    assert.throws(() => allocate('b', ipam), /10\.1\.0\.3 has been allocated to container "b"/);
  });

  test('what the other does between two of our calls is noticed at once', ({ dataDir }) => {
    const ipam = pool(dataDir);
    allocate('a', ipam);
    for (let round = 0; round < 5; round++) {
      theirs('ADD', 'b', ipam);
      assert.throws(() => allocate('b', ipam), /has been allocated to container "b"/);
      theirs('DEL', 'a', ipam);
      assert.throws(() => hostLocal.check(ours('a', ipam), []), /No address is reserved/);
      allocate('a', ipam);
      hostLocal.release(ours('b', ipam));
      assert.is(theirs('CHECK', 'b', ipam).status, 1);
    }
    assert.is(Object.keys(contents(dataDir)).filter((name) => !name.startsWith('last')).length, 2);
  });

  test('a pool that the other has filled is full for us, until it lets go of one address', ({ dataDir }) => {
    const ipam = pool(dataDir);
    allocate('first', ipam);
    hostLocal.release(ours('first', ipam));
    for (const id of ['a', 'b', 'c', 'd', 'e']) theirs('ADD', id, ipam);
    assert.throws(() => allocate('f', ipam), /no IP addresses available/);
    theirs('DEL', 'c', ipam);
    const [freed] = allocate('f', ipam).ips;
    assert.match(contents(dataDir)[freed?.address.split('/')[0] ?? ''] ?? '', /^f\r\neth0$/);
  });

  test("each checks and releases the other's reservations", ({ dataDir }) => {
    const ipam = pool(dataDir);
    allocate('a', ipam);
    theirs('ADD', 'b', ipam);
    assert.is(theirs('CHECK', 'a', ipam).status, 0);
    hostLocal.check(ours('b', ipam), ['10.1.0.3/29', 'fd00::3/124']);
    assert.is(theirs('DEL', 'a', ipam).status, 0);
    hostLocal.release(ours('b', ipam));
    assert.equal(contents(dataDir), { 'last_reserved_ip.0': '10.1.0.3', 'last_reserved_ip.1': 'fd00::3' });
    assert.is(theirs('CHECK', 'a', ipam).status, 1);
  });
}

test.run();
