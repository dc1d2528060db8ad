// Kernels that lack nf_tables or a part of it, as one does whose modules were removed under it by an upgrade: an ADD that
// needs it is refused before anything changes and says what is missing, all else works.
//
// `npm run test:vm -- --without-module NAME` boots such a kernel. CONFORMANCE_WITHOUT_MODULES names what it lacks.

import { existsSync, readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustTell, NO_COMMANDS, writeConfDir } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { linksOf } from '../harness/referee.ts';
import { mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { skip } from '../suite/skip.ts';

const { test, run } = cases('a kernel without parts of nf_tables');

const OURS = { absent: 'an error that names the part of the kernel' };

interface Missing {
  /** How errors name it. */
  readonly named: string;
  /** Keys of a network that needs it, and of one that does not. */
  readonly needs: Config;
  readonly works: Config;
}

const MASQUERADED = { ipMasq: true };
const PUBLISHED = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] } };

const MISSING: Readonly<Record<string, Missing>> = {
  nf_tables: { named: 'nf_tables (CONFIG_NF_TABLES)', needs: MASQUERADED, works: {} },
  nft_chain_nat: { named: 'nft_chain_nat (CONFIG_NFT_NAT)', needs: MASQUERADED, works: { icc: false } },
  nft_masq: { named: 'nft_masq (CONFIG_NFT_MASQ)', needs: MASQUERADED, works: { icc: false } },
  nft_nat: { named: 'nft_nat (CONFIG_NFT_NAT)', needs: PUBLISHED, works: { ...MASQUERADED, icc: false } },
  nft_fib_inet: {
    named: 'nft_fib_inet (CONFIG_NFT_FIB_INET)',
    needs: PUBLISHED,
    works: { ...MASQUERADED, icc: false },
  },
  nft_ct: { named: 'nft_ct (CONFIG_NFT_CT)', needs: MASQUERADED, works: {} },
};

function network(host: Host, more: Config = {}): Config {
  return host.config({ cniVersion: '1.1.0', isDefaultGateway: true, ...more });
}

const MODULES = process.env.CONFORMANCE_WITHOUT_MODULES?.split(' ').filter(Boolean) ?? [];

/** A test for each module that this kernel cannot load. */
function missingTest(title: string, body: (host: Host, missing: Missing) => void, reference = OURS): void {
  for (const module of MODULES) {
    const missing = MISSING[module];
    test(`without ${module} ${title}`, reference, (host) => {
      if (missing) body(host, missing);
      else skip(title, `nobody has written down what needs ${module}`);
    });
  }
}

if (MODULES.length === 0) {
  test('what needs a part that is missing is refused, and all else works', OURS, () => {
    const command = 'npm run test:vm -- --without-module nft_masq';
    skip('kernels without parts of nf_tables', `this one may have all (${command} runs it on one without)`);
  });
}

/** What an ADD changes first. nft(8), which snapshots use, works no better than we do here. */
function tracesOf(host: Host): string[] {
  const files = [host.runDir, host.dataDir].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [],
  );
  return [...linksOf(host.namespace).map(({ ifname }) => ifname), ...files.filter((name) => !/lock/.test(name))].sort();
}

const says = ({ named }: Missing): RegExp => new RegExp(named.replace(/[()]/g, '\\$&'));

missingTest(
  'ADD that needs it is refused before anything changes, by name, and DEL has nothing to do',
  (host, missing) => {
    const container = host.addContainer();
    const config = network(host, missing.needs);
    const before = tracesOf(host);
    const { msg } = mustRefuse(host, 'ADD', { config, container }, 100, says(missing));
    assert.match(msg, /nothing was changed/);
    assert.equal(tracesOf(host), before);
    mustPass(host, 'DEL', { config, container });
    mustPass(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': [] } });
  },
);

missingTest('ADD that does not need it works, and CHECK, DEL and GC as well', (host, missing) => {
  const config = network(host, missing.works);
  const [first, second] = [addPod(host, config), addPod(host, config)];
  checkPod(host, first);
  delPod(host, first);
  mustPass(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': [] } });
  host.namespace.mustRun('find', [`${host.runDir}/attachments`, '-name', '*.json', '-delete']);
  mustPass(host, 'DEL', { config, container: second.namespace });
  assert.equal(
    linksOf(host.namespace).filter(({ ifname }) => ifname.startsWith('veth')),
    [],
  );
});

missingTest('ADD works where somebody has turned route_localnet on', (host) => {
  host.namespace.setSysctl('net/ipv4/conf/all/route_localnet', '1');
  const pod = addPod(host, network(host));
  checkPod(host, pod);
  delPod(host, pod);
});

missingTest('CHECK of an attachment that is to have rules by now names it', (host, missing) => {
  const pod = addPod(host, network(host));
  const config = withPrevResult(network(host, missing.needs), pod.result);
  mustRefuse(host, 'CHECK', { ...pod.invocation, config }, 101, says(missing));
});

missingTest('STATUS says that the network cannot be served', (host, missing) => {
  mustRefuse(host, 'STATUS', { config: network(host, missing.needs) }, 50, says(missing));
  mustPass(host, 'STATUS', { config: network(host, missing.works) });
});

missingTest(
  'doctor finds it missing, whatever the list of modules says, and says which key needs it',
  (host, missing) => {
    const { runtimeConfig, ...needs } = missing.needs;
    const declared = runtimeConfig ? { capabilities: { portMappings: true } } : {};
    const dirs = ['--conf-dir', writeConfDir(host, [network(host, { ...needs, ...declared })])];
    const args = ['doctor', ...dirs, '--data-dir', host.dataDir, '--bin-dir', host.pluginFolder];
    const findings = mustTell<{ level: string; what: string; meaning?: string }[]>(host, args, 1);
    const finding = findings.find(({ what }) => /the kernel lacks/.test(what) && says(missing).test(what));
    assert.is(finding?.level, 'fail', JSON.stringify(findings));
    assert.match(finding?.meaning ?? '', /"(ipMasq|capabilities\.portMappings)" of network "pods" needs it/);
    mustEnd(host, ['gc', '--data-dir', host.dataDir], 0);
    mustEnd(host, ['repair'], 0);
  },
  NO_COMMANDS,
);

run();
