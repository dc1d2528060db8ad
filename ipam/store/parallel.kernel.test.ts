// Many processes take addresses of one pool at once, until none is left: each address is given exactly once.
//
// PODLINK_IPAM_PREFIX: the pool's prefix length, 22 by default (a quarter of a minute); 16 takes minutes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const PROCESSES = 32;
const PREFIX = Number(process.env.PODLINK_IPAM_PREFIX ?? 22);
/** All but the network, its gateway and the broadcast address. */
const CAPACITY = 2 ** (32 - PREFIX) - 3;

const test = suite('ipam in parallel');

/** Child: allocate until the pool is exhausted, and print each address with its owner. */
const TAKE_ALL = `
  const [dataDir, prefix, name] = process.argv.slice(1);
  const { hostLocal } = await import(${JSON.stringify(new URL('../local/host-local.ts', import.meta.url).href)});
  const { Fields } = await import(${JSON.stringify(new URL('../../cni/protocol/fields.ts', import.meta.url).href)});
  const { lockFile } = await import(${JSON.stringify(new URL('../../cni/kernel/flock.ts', import.meta.url).href)});
  const lines = [];
  for (let i = 0; ; ) {
    const containerId = name + '-' + i;
    const request = {
      owner: { network: 'pods', containerId, ifname: 'eth0' }, cniVersion: '1.1.0',
      ipam: new Fields({ dataDir, ranges: [[{ subnet: '10.64.0.0/' + prefix }]] }),
      runtimeConfig: new Fields({}), argsCni: new Fields({}), cniArgs: new Map(),
      lockDirectory: (path, timeoutMs) => lockFile(path, timeoutMs),
    };
    try {
      lines.push(hostLocal.prepare(request).allocate().ips[0].address.split('/')[0] + ' ' + containerId);
      i++;
    } catch (error) {
      // To wait in vain for the lock is no failure: it is what CNI calls "try again later".
      if (error.kind === 'exhausted') break;
      if (error.kind !== 'locked') throw error;
    }
  }
  console.log(lines.join('\\n'));
`;

test(`${PROCESSES} processes fill a /${PREFIX}: every address once, none left, none twice`, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'podlink-parallel-'));
  try {
    const started = performance.now();
    const children = Array.from({ length: PROCESSES }, async (_, i) => {
      const child = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          '--input-type=module',
          '--eval',
          TAKE_ALL,
          dataDir,
          `${PREFIX}`,
          `p${i}`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const exited = once(child, 'close');
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => void chunks.push(chunk));
      assert.equal(await exited, [0, null]);
      return Buffer.concat(chunks).toString().split('\n').filter(Boolean);
    });
    const given = (await Promise.all(children)).flat().map((line) => line.split(' ') as [string, string]);
    const seconds = (performance.now() - started) / 1000;
    const holders = new Map(given);
    console.log(
      `\n${PROCESSES} processes, ${given.length} addresses of ${CAPACITY}, ${given.length - holders.size} twice, ${seconds.toFixed(1)} s`,
    );
    assert.is(holders.size, given.length, 'no address twice');
    assert.is(given.length, CAPACITY, 'every address');
    for (const [address, containerId] of holders)
      assert.is(readFileSync(join(dataDir, 'pods', address), 'utf8'), `${containerId}\r\neth0`);
    assert.is(readdirSync(join(dataDir, 'pods')).filter((name) => name.startsWith('10.')).length, CAPACITY);
    assert.is(readdirSync(join(dataDir, '.podlink', 'pods', 'owners')).length, CAPACITY, 'the index knows all');
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});

test.run();
