// The capability `dns`: each of its lists replaces that list alone, whether the configuration or IPAM has it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustAdd } from '../harness/verdict.ts';

const { test, run } = cases('dns capability');
const OURS = { absent: 'the capability dns; its bridge drops the DNS of IPAM' };

const IPAM = { nameservers: ['192.0.2.53'], domain: 'ipam.test', search: ['a.test', 'b.test'], options: ['edns0'] };
const OWN = { nameservers: ['192.0.2.54'], search: ['own.test'] };

const ROWS: readonly (readonly [string, object | undefined, object | undefined, object])[] = [
  ['none', undefined, undefined, IPAM],
  ['options alone', undefined, { options: ['ndots:5'] }, { ...IPAM, options: ['ndots:5'] }],
  ['servers alone', undefined, { servers: ['10.96.0.10'] }, { ...IPAM, nameservers: ['10.96.0.10'] }],
  ['searches alone', undefined, { searches: ['svc'] }, { ...IPAM, search: ['svc'] }],
  ['empty lists', undefined, { servers: [], searches: [], options: [] }, IPAM],
  [
    'all of them',
    undefined,
    { servers: ['10.96.0.10'], searches: ['svc'], options: ['ndots:5'] },
    { nameservers: ['10.96.0.10'], domain: 'ipam.test', search: ['svc'], options: ['ndots:5'] },
  ],
  ['none, with dns in the configuration', OWN, undefined, OWN],
  ['options, with dns in the configuration', OWN, { options: ['ndots:5'] }, { ...OWN, options: ['ndots:5'] }],
  ['searches, with dns in the configuration', OWN, { searches: ['svc'] }, { ...OWN, search: ['svc'] }],
  ['options, with an empty dns in the configuration', {}, { options: ['ndots:5'] }, { ...IPAM, options: ['ndots:5'] }],
];
for (const [what, own, dns, expected] of ROWS) {
  test(`the runtime passes ${what}`, OURS, (host) => {
    const resolvConf = join(host.folder, 'resolv.conf');
    writeFileSync(resolvConf, 'nameserver 192.0.2.53\ndomain ipam.test\nsearch a.test b.test\noptions edns0\n');
    const config = host.config({
      ipam: host.hostLocal(['10.77.0.0/24'], { resolvConf }),
      ...(own && { dns: own }),
      ...(dns && { runtimeConfig: { dns } }),
    });
    assert.equal(mustAdd(host, { config, container: host.addContainer() }).dns, expected);
  });
}

run();
