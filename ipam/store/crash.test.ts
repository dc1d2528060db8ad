// A process that allocates and releases without end is killed at a random moment, again and again. Whatever it leaves,
// no reservation is empty, and what it left blocks nobody.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import { parseAddress } from '../../cni/address/ip.ts';
import { hostLocal } from '../local/host-local.ts';

const KILLS = 12;

const test = suite('ipam crash');

/** Child: an endless loop over the driver under test, which says so when it has begun. */
const LOOP = `
  const { hostLocal } = await import(${JSON.stringify(new URL('../local/host-local.ts', import.meta.url).href)});
  const { Fields } = await import(${JSON.stringify(new URL('../../cni/protocol/fields.ts', import.meta.url).href)});
  const [dataDir] = process.argv.slice(1);
  for (let i = 0; ; i++) {
    const request = {
      owner: { network: 'pods', containerId: 'looper' + (i % 7), ifname: 'eth0' },
      cniVersion: '1.1.0',
      ipam: new Fields({ dataDir, ranges: [[{ subnet: '10.1.0.0/28' }], [{ subnet: 'fd00::/124' }]] }),
      runtimeConfig: new Fields({}), argsCni: new Fields({}), cniArgs: new Map(),
      lockDirectory: () => ({ release: () => undefined }),
    };
    hostLocal.release(request);
    hostLocal.prepare(request).allocate();
    if (i === 0) process.stdout.write('running');
    if (i % 3 === 0) hostLocal.release(request);
  }
`;

const request = (dataDir: string, containerId: string) => ({
  owner: { network: 'pods', containerId, ifname: 'eth0' },
  cniVersion: '1.1.0',
  ipam: new Fields({ dataDir, ranges: [[{ subnet: '10.1.0.0/28' }], [{ subnet: 'fd00::/124' }]] }),
  runtimeConfig: new Fields({}),
  argsCni: new Fields({}),
  cniArgs: new Map<string, string>(),
  lockDirectory: () => ({ release: () => undefined }),
  warn: (message: string) => assert.unreachable(message),
});

test('SIGKILL at any moment leaves no empty reservation and nothing that blocks', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'podlink-crash-'));
  const directory = join(dataDir, 'pods');
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', LOOP, dataDir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      assert.is(String((await Promise.race([once(child.stdout, 'data'), exited]))[0]), 'running');
      await new Promise((resolve) => setTimeout(resolve, 5 + kill * 3.7));
      child.kill('SIGKILL');
      assert.equal((await exited)[1], 'SIGKILL');

      for (const name of readdirSync(directory)) {
        const text = readFileSync(join(directory, name), 'utf8');
        if (parseAddress(name)) assert.match(text, /^looper\d\r\neth0$/, `kill ${kill}: ${name}`);
        else assert.match(name, /^(\.podlink-temporary(-last)?|last_reserved_ip\.[01])$/);
        if (name.startsWith('last_reserved_ip.')) assert.ok(parseAddress(text), `kill ${kill}: ${name} is "${text}"`);
      }
      // Another container gets its addresses, goes, and no temporary file is left after it.
      assert.is(hostLocal.prepare(request(dataDir, 'after')).allocate().ips.length, 2);
      hostLocal.release(request(dataDir, 'after'));
      assert.not.ok(readdirSync(directory).includes('.podlink-temporary'));
    }
    // And once the dead are collected, every address of the smaller pool can be had.
    hostLocal.collect(request(dataDir, ''), []);
    for (let i = 0; i < 13; i++) hostLocal.prepare(request(dataDir, `c${i}`)).allocate();
    assert.is(readdirSync(directory).filter((name) => parseAddress(name)).length, 26);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});

test.run();
