// The real etcd, in a network namespace of its own, and three nodes in theirs, joined by a bridge. Nodes are cut off, etcd
// is killed and started again, processes are killed in the middle of what they do: no address may be held twice at any
// moment. And HTTPS with client certificates, which no fake can vouch for.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('ipam etcd kernel');

const NODES = ['n1', 'n2', 'n3'];
/** Processes of each node that allocate at the same time. */
const WORKERS_PER_NODE = 2;
const DISRUPTIONS = 14;
const ETCD_ADDRESS = '192.0.2.1';
/** 32 blocks of 16 addresses, so that the nodes contend for them. */
const POOL = { subnet: '10.9.0.0/23', blockSize: 28 };

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function requireProgram(program: string, debianPackage: string): void {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  if (path.split(':').some((directory) => existsSync(join(directory, program)))) return;
  throw new Error(`Cannot find "${program}": install the Debian package ${debianPackage}`);
}

/** A hub with a bridge and etcd, and the nodes' namespaces around it. */
class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'podlink-etcd-'));
  readonly #name = `plk-etcd-${process.pid}`;
  readonly #made: string[] = [];
  readonly #children = new Set<ChildProcess>();
  #etcd: ChildProcess | undefined;

  setUp(): void {
    this.#addNamespace('hub');
    this.ip('hub', 'link', 'add', 'br0', 'type', 'bridge');
    this.ip('hub', 'addr', 'add', `${ETCD_ADDRESS}/24`, 'dev', 'br0');
    this.ip('hub', 'link', 'set', 'br0', 'up');
    NODES.forEach((node, i) => {
      this.#addNamespace(node);
      this.ip('hub', 'link', 'add', node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${this.#name}-${node}`);
      this.ip('hub', 'link', 'set', node, 'master', 'br0', 'up');
      this.ip(node, 'addr', 'add', `192.0.2.${11 + i}/24`, 'dev', 'eth0');
      this.ip(node, 'link', 'set', 'eth0', 'up');
    });
  }

  async tearDown(): Promise<void> {
    for (const child of this.#children) await stop(child, 'SIGKILL');
    for (const name of this.#made) run('ip', 'netns', 'del', name);
    rmSync(this.directory, { recursive: true });
  }

  ip(place: string, ...args: string[]): string {
    return run('ip', '-n', `${this.#name}-${place}`, ...args);
  }

  /** Start a program in one of the namespaces. */
  start(place: string, program: string, args: readonly string[], stdout: 'ignore' | 'pipe'): ChildProcess {
    const child = spawn('nsenter', [`--net=/run/netns/${this.#name}-${place}`, program, ...args], {
      stdio: ['ignore', stdout, 'inherit'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Start etcd and wait until it serves; on the same data as before, if it ran already. */
  async startEtcd(certificates?: string): Promise<void> {
    const url = `${certificates ? 'https' : 'http'}://${ETCD_ADDRESS}:2379`;
    const tls = ['ca.pem', 'server.pem', 'server.key'].map((name) => `${certificates}/${name}`);
    const [ca = '', cert = '', key = ''] = tls;
    const secure = ['--client-cert-auth', '--trusted-ca-file', ca, '--cert-file', cert, '--key-file', key];
    const peer = `http://${ETCD_ADDRESS}:2380`;
    this.#etcd = this.start(
      'hub',
      'etcd',
      [
        ...['--data-dir', join(this.directory, 'etcd'), '--log-level', 'panic', '--logger', 'zap'],
        ...['--listen-client-urls', url, '--advertise-client-urls', url, '--listen-peer-urls', peer],
        ...['--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
        ...(certificates ? secure : []),
      ],
      'ignore',
    );
    const flags = certificates
      ? ['--cacert', ca, '--cert', `${certificates}/client.pem`, '--key', `${certificates}/client.key`]
      : [];
    for (let tries = 0; ; tries++) {
      if (this.#etcd.exitCode !== null) throw new Error(`etcd ended with exit code ${this.#etcd.exitCode}`);
      const args = ['--endpoints', url, ...flags, 'endpoint', 'health', '--command-timeout', '500ms'];
      const probe = spawn('nsenter', [`--net=/run/netns/${this.#name}-hub`, 'etcdctl', ...args], {
        stdio: 'ignore',
        env: { ...process.env, ETCDCTL_API: '3' },
      });
      const [code] = await once(probe, 'exit');
      if (code === 0) return;
      if (tries === 40) throw new Error('etcd does not get healthy within 40 tries');
      await pause(100);
    }
  }

  async killEtcd(): Promise<void> {
    if (this.#etcd) await stop(this.#etcd, 'SIGKILL');
  }

  #addNamespace(place: string): void {
    run('ip', 'netns', 'add', `${this.#name}-${place}`);
    this.#made.push(`${this.#name}-${place}`);
    this.ip(place, 'link', 'set', 'lo', 'up');
  }
}

/** End a child that this test started, which may have ended already. */
async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

async function withLab(work: (lab: Lab) => Promise<void>): Promise<void> {
  requireProgram('etcd', 'etcd-server');
  requireProgram('etcdctl', 'etcd-client');
  requireProgram('openssl', 'openssl');
  const lab = new Lab();
  try {
    lab.setUp();
    await work(lab);
  } finally {
    await lab.tearDown();
  }
}

const importOf = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

/** What the child processes have in common: a request of a container of their node. */
const REQUEST = `
  const { etcdIpam, openClaims } = await import(${importOf('./etcd.ts')});
  const { lockFile } = await import(${importOf('../../cni/kernel/flock.ts')});
  const { Fields } = await import(${importOf('../../cni/protocol/fields.ts')});
  const [ipam, ...args] = process.argv.slice(1);
  const request = (containerId) => ({
    owner: { network: 'pods', containerId, ifname: 'eth0' },
    cniVersion: '1.1.0',
    ipam: new Fields(JSON.parse(ipam), 'ipam'),
    runtimeConfig: new Fields({}), argsCni: new Fields({}), cniArgs: new Map(),
    lockDirectory: (path, timeoutMs) => lockFile(path, timeoutMs),
  });
`;

/**
 * A node's process that adds and deletes containers at random until it is told to end. A file in \`truth\`, whose name
 * only one can make, says who holds an address: from after the ADD until before the DEL, whichever node it is.
 */
const WORKER = `
  ${REQUEST}
  const { existsSync, linkSync, readFileSync, readdirSync, unlinkSync, writeFileSync } = await import('node:fs');
  const [worker, truth, stop] = args;
  const draft = stop + '.' + worker + '.' + process.pid;
  const held = new Map();
  // What a predecessor held that was killed.
  for (const address of readdirSync(truth)) {
    // Another process may have removed it since it was listed.
    let containerId = '';
    try {
      containerId = readFileSync(truth + '/' + address, 'utf8');
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      continue;
    }
    if (containerId.startsWith(worker + '-')) held.set(containerId, address);
  }
  const counts = { added: 0, refused: 0, deleted: 0 };
  for (let i = 0; !existsSync(stop); i++) {
    const isFilling = Math.floor(Date.now() / 1500) % 2 === 0;
    if (Math.random() < (isFilling ? 0.7 : 0.3) && held.size < 90) {
      const containerId = worker + '-' + process.pid + '-' + i;
      try {
        const { ips } = await etcdIpam.prepare(request(containerId)).allocate();
        const address = ips[0].address.replace(/[/].*/, '');
        // Whole at once: a kill between making and writing it would leave a file that names nobody.
        writeFileSync(draft, containerId);
        linkSync(draft, truth + '/' + address);
        unlinkSync(draft);
        held.set(containerId, address);
        counts.added++;
      } catch (error) {
        if (error.name !== 'IpamError' || !['exhausted', 'locked'].includes(error.kind)) throw error;
        counts.refused++;
      }
    } else {
      const [entry] = held;
      if (!entry) continue;
      const [containerId, address] = entry;
      unlinkSync(truth + '/' + address);
      held.delete(containerId);
      await etcdIpam.release(request(containerId));
      counts.deleted++;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
  }
  process.stdout.write(JSON.stringify(counts));
`;

const nodeArguments = (source: string, ...args: string[]) => [
  '--no-warnings',
  '--input-type=module',
  '--eval',
  source,
  ...args,
];

interface Counts {
  readonly added: number;
  readonly refused: number;
  readonly deleted: number;
}

/** Collect what a child prints; throws when it does not end well. */
async function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const [code, signal] = await once(child, 'close');
  if (code !== 0) throw new Error(`A node's process ended with ${signal ?? `exit code ${code}`}: ${text}`);
  return text;
}

const ipamOf = (lab: Lab, node: string, more: object = {}) =>
  JSON.stringify({
    ...POOL,
    endpoints: [`http://${ETCD_ADDRESS}:2379`],
    node,
    timeoutMs: 300,
    dataDir: join(lab.directory, node),
    ...more,
  });

/** Ask the operator's functions in a namespace that reaches etcd. */
async function ask<Answer>(lab: Lab, expression: string): Promise<Answer> {
  const source = `${REQUEST}
    const claims = openClaims(request('').ipam, 'pods');
    process.stdout.write(JSON.stringify(${expression}));`;
  return JSON.parse(
    await outputOf(
      lab.start('hub', process.execPath, nodeArguments(source, ipamOf(lab, 'operator', { timeoutMs: 5000 })), 'pipe'),
    ),
  );
}

const numberOf = (address: string) => address.split('.').reduce((number, part) => number * 256 + Number(part), 0);

test('no address is held twice while nodes are cut off, etcd is killed and processes are killed', () =>
  withLab(async (lab) => {
    const truth = join(lab.directory, 'truth');
    const stopFile = join(lab.directory, 'stop');
    mkdirSync(truth);
    await lab.startEtcd();
    const workers = new Map<string, { child: ChildProcess; output: Promise<string> }>();
    const failures: unknown[] = [];
    const startWorker = (name: string) => {
      const node = name.slice(0, 2);
      const args = nodeArguments(WORKER, ipamOf(lab, node), name, truth, stopFile);
      const child = lab.start(node, process.execPath, args, 'pipe');
      const output = outputOf(child);
      output.catch((error) => child.signalCode === 'SIGKILL' || failures.push(error));
      workers.set(name, { child, output });
    };
    for (const node of NODES) for (let i = 0; i < WORKERS_PER_NODE; i++) startWorker(`${node}w${i}`);
    await pause(2500);

    for (let i = 0; i < DISRUPTIONS && failures.length === 0; i++) {
      const node = NODES[i % NODES.length] ?? '';
      const worker = `${node}w${i % WORKERS_PER_NODE}`;
      switch (i % 4) {
        case 0:
          lab.ip('hub', 'link', 'set', node, 'down');
          await pause(900);
          lab.ip('hub', 'link', 'set', node, 'up');
          break;
        case 1:
          await lab.killEtcd();
          await pause(500);
          await lab.startEtcd();
          break;
        case 2: {
          const running = workers.get(worker);
          if (running === undefined) throw new Error(`No process ${worker}`);
          await stop(running.child, 'SIGKILL');
          await running.output.catch(() => undefined); // that it was killed
          startWorker(worker);
          break;
        }
        default:
          rmSync(join(lab.directory, node, 'pods', '.podlink-blocks.json'), { force: true });
      }
      await pause(250);
    }
    writeFileSync(stopFile, '');
    const outputs = await Promise.all([...workers.values()].map(({ output }) => output));
    assert.equal(failures, []);
    const counts = outputs.map((text) => JSON.parse(text) as Counts);
    const sum = (key: keyof Counts) => counts.reduce((total, each) => total + each[key], 0);
    assert.ok(sum('added') > 300 && sum('deleted') > 100, `${sum('added')} added, ${sum('deleted')} deleted`);

    // What the disks say in the end, against what etcd says.
    const claims = await ask<{ node: string; blocks: string[] }[]>(lab, 'await claims.listNodes()');
    const blocks = new Map(
      claims.map(({ node, blocks }) => [node, blocks.map((block) => numberOf(block.replace(/\/.*/, '')))]),
    );
    const all: string[] = [];
    for (const node of NODES) {
      const reserved = readdirSync(join(lab.directory, node, 'pods')).filter((name) =>
        /^\d+\.\d+\.\d+\.\d+$/.test(name),
      );
      all.push(...reserved);
      for (const address of reserved) {
        const number = numberOf(address);
        assert.ok(number >= numberOf('10.9.0.2') && number <= numberOf('10.9.1.254'), `${address} is in the pool`);
        const isOwn = blocks.get(node)?.some((start) => number >= start && number < start + 16);
        assert.ok(isOwn, `${address} lies in a block that etcd says is ${node}'s`);
      }
    }
    assert.is(new Set(all).size, all.length, 'no address is reserved on two nodes');
    for (const address of readdirSync(truth)) {
      const node = readFileSync(join(truth, address), 'utf8').slice(0, 2);
      assert.ok(existsSync(join(lab.directory, node, 'pods', address)), `${address} is reserved where it is held`);
    }
    const claimed = [...blocks.values()].flat();
    assert.is(new Set(claimed).size, claimed.length, 'no block is claimed twice');

    // A node that is gone: its blocks are others' from then on.
    const before = blocks.get('n1')?.length ?? 0;
    assert.ok(before > 0);
    const released = await ask<string[]>(lab, "await claims.releaseNode('n1', { force: true })");
    assert.is(released.length, before);
    const after = await ask<{ node: string }[]>(lab, 'await claims.listNodes()');
    assert.not.ok(after.some(({ node }) => node === 'n1'));
  }));

/** Make a CA, a certificate of the server that its gateway also uses as a client, and one of a client. */
function makeCertificates(directory: string): void {
  mkdirSync(directory);
  const file = (name: string) => join(directory, name);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const ca of ['ca', 'other-ca']) {
    run(
      'openssl',
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      `/CN=${ca}`,
      '-keyout',
      file(`${ca}.key`),
      '-out',
      file(`${ca}.pem`),
    );
  }
  for (const name of ['server', 'client']) {
    run(
      'openssl',
      'req',
      ...newKey,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
    );
    writeFileSync(file(`${name}.ext`), `subjectAltName=IP:${ETCD_ADDRESS}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    run(
      'openssl',
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      file(`${name}.csr`),
      '-CA',
      file('ca.pem'),
      '-CAkey',
      file('ca.key'),
      '-CAcreateserial',
      '-extfile',
      file(`${name}.ext`),
      '-out',
      file(`${name}.pem`),
    );
  }
}

test('allocate() claims over HTTPS with a client certificate, and says what is wrong with certificates', () =>
  withLab(async (lab) => {
    const certificates = join(lab.directory, 'certificates');
    makeCertificates(certificates);
    await lab.startEtcd(certificates);
    const source = `${REQUEST}
      try {
        const { ips } = await etcdIpam.prepare(request('c1')).allocate();
        process.stdout.write(ips[0].address);
      } catch (error) {
        process.stdout.write(error.name + ' ' + error.kind + ': ' + error.message);
      }`;
    const file = (name: string) => join(certificates, name);
    const add = (node: string, tls: object) => {
      const ipam = ipamOf(lab, node, { endpoints: [`https://${ETCD_ADDRESS}:2379`], timeoutMs: 3000, ...tls });
      return outputOf(lab.start(node, process.execPath, nodeArguments(source, ipam), 'pipe'));
    };
    const client = { certFile: file('client.pem'), keyFile: file('client.key') };
    assert.match(await add('n1', { caFile: file('ca.pem'), ...client }), /^10\.9\.[01]\.\d+\/23$/);
    const refusal = /^IpamError exhausted: .*another block cannot be claimed: etcd cannot be reached \(.*/;
    assert.match(
      await add('n2', { caFile: file('ca.pem') }),
      new RegExp(`${refusal.source}(certificate|alert|ECONNRESET)`),
    );
    assert.match(await add('n2', client), new RegExp(`${refusal.source}(self-signed|unable to).*certificate`));
    assert.match(
      await add('n2', { caFile: file('other-ca.pem'), ...client }),
      new RegExp(`${refusal.source}certificate`),
    );
    assert.match(await add('n2', { caFile: file('ca.pem'), ...client }), /^10\.9\.[01]\.\d+\/23$/);
  }));

test.run();
