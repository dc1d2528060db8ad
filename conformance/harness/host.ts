// A host with containers, all of them network namespaces, on which a case runs the plugin as a runtime would.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Output, run } from './command.ts';
import type { Config, ErrorDocument, Result } from './document.ts';
import { Namespace } from './namespace.ts';
import { fillPluginFolder, typeOf } from './plugin.ts';
import { compareSnapshots, type Snapshot, takeSnapshot } from './snapshot.ts';

export type Command = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export interface Invocation {
  /** Standard input: a configuration, or raw text. */
  readonly config: Config | string;
  readonly container?: Namespace;
  /** The container's name when absent. */
  readonly containerId?: string;
  /** eth0 when absent. */
  readonly ifname?: string;
  /** The container's path when absent. */
  readonly netns?: string;
  /** CNI_ARGS. */
  readonly args?: string;
  /** Variables on top; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The name the plugin is run as; the configuration's type when absent. */
  readonly program?: string;
  /** A program and arguments put before the plugin, inside the host's namespace, e.g. strace. */
  readonly under?: readonly string[];
}

export interface Outcome extends Output {
  /** Standard output as JSON; undefined when it is not. */
  readonly json: Result | ErrorDocument | undefined;
}

/**
 * What survives the last DEL, and is meant to: the bridge, forwarding, the store's own files, empty files that are locked,
 * and the frame of the rules: podlink's table with empty sets and maps, or the tables and chains that iptables makes.
 */
const MEANT_TO_STAY = new RegExp(
  [
    String.raw`^[+-] host (link \S+ bridge|address cni|route .*"(dev|prefsrc)":"(cni|lo)|sysctl)`,
    '^[+-] folder',
    String.raw`^[+-] file \S+/(lock|last_reserved_ip\.\d+|locks/\S+) `,
    String.raw`^[+-] host nft (?!.*"elem":)\{"(table|chain|rule|set|map)":\{.*"podlink"`,
    String.raw`^[+-] host nft \{"table":\{"family":"ip6?","name":"nat"`,
    String.raw`^[+-] host nft \{"chain":\{.*"table":"nat","name":"[A-Z]+","type"`,
  ].join('|'),
);

export class Host {
  readonly namespace: Namespace;
  /** Everything on disk belongs below it and goes with it. */
  readonly folder: string;
  readonly pluginFolder: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly #named = new Map<string, Namespace>();

  /** `runBelow`: a folder for the run directory, e.g. on a file system in memory; the host's own folder when absent. */
  constructor({ runBelow }: { readonly runBelow?: string } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'podlink-case-'));
    this.pluginFolder = join(this.folder, 'bin');
    this.dataDir = join(this.folder, 'ipam');
    this.runDir = runBelow === undefined ? join(this.folder, 'run') : join(runBelow, basename(this.folder));
    try {
      fillPluginFolder(this.pluginFolder);
      this.namespace = Namespace.create('host', { loopback: true });
    } catch (error) {
      rmSync(this.folder, { recursive: true });
      throw error;
    }
    this.#named.set('host', this.namespace);
  }

  /** A new container: a namespace whose only link is `lo`, down, as a runtime hands it over. */
  addContainer(label = `pod${this.#named.size}`): Namespace {
    const container = Namespace.create(label, { loopback: false });
    this.#named.set(label, container);
    return container;
  }

  /**
   * A machine outside, on a cable to the host: host 203.0.113.1 and 2001:db8:1::1, machine .2 and ::2.
   *
   * It knows no route to pods, unless the case adds one.
   */
  addOutside(): Namespace {
    const outside = Namespace.create('outside', { loopback: true });
    this.#named.set('outside', outside);
    this.namespace.ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside.name);
    this.namespace.ip('addr', 'add', '203.0.113.1/24', 'dev', 'up0');
    this.namespace.ip('addr', 'add', '2001:db8:1::1/64', 'dev', 'up0', 'nodad');
    this.namespace.ip('link', 'set', 'up0', 'up');
    outside.ip('addr', 'add', '203.0.113.2/24', 'dev', 'eth0');
    outside.ip('addr', 'add', '2001:db8:1::2/64', 'dev', 'eth0', 'nodad');
    outside.ip('link', 'set', 'eth0', 'up');
    return outside;
  }

  /** A bridge network with host-local addresses from 10.77.0.0/24, and what a case wants otherwise. */
  config(overrides: Config = {}): Config {
    return { cniVersion: '1.0.0', name: 'pods', type: 'podlink', bridge: 'cni0', ipam: this.hostLocal(), ...overrides };
  }

  /** An `ipam` section: host-local with its files below the host's folder, one range set for each subnet. */
  hostLocal(subnets: readonly string[] = ['10.77.0.0/24'], more: Readonly<Record<string, unknown>> = {}): object {
    return { type: 'host-local', dataDir: this.dataDir, ranges: subnets.map((subnet) => [{ subnet }]), ...more };
  }

  /** Run the plugin once, as a runtime does, and wait for it. */
  invoke(command: Command, invocation: Invocation): Outcome {
    const { args, env, input } = this.#prepare(command, invocation);
    const output = run('nsenter', args, { input, env });
    return { ...output, json: parse(output.stdout) };
  }

  /** Run the plugin beside others. */
  start(command: Command, invocation: Invocation): Promise<Outcome> {
    const { args, env, input } = this.#prepare(command, invocation);
    return new Promise((resolve, reject) => {
      const started = performance.now();
      const child = spawn('nsenter', args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk;
      });
      child.on('error', reject);
      child.on('close', (code, signal) =>
        resolve({ code: code ?? -1, signal, stdout, stderr, ms: performance.now() - started, json: parse(stdout) }),
      );
      // Who is killed before it has read its input closes it (EPIPE): how it ended says all that there is to say.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    });
  }

  #prepare(command: Command, invocation: Invocation): { args: string[]; env: NodeJS.ProcessEnv; input: string } {
    const { config } = invocation;
    const isText = typeof config === 'string';
    const program = invocation.program ?? (isText ? 'podlink' : (config.type ?? 'podlink'));
    const attachment = command === 'ADD' || command === 'DEL' || command === 'CHECK';
    const env: Record<string, string | undefined> = {
      CNI_COMMAND: command,
      CNI_PATH: this.pluginFolder,
      PODLINK_RUN_DIR: this.runDir,
      // A plugin that executes another looks for nothing here, but the reference's `bridge` looks for iptables.
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      ...(attachment
        ? {
            CNI_CONTAINERID: invocation.containerId ?? invocation.container?.name,
            CNI_NETNS: invocation.netns ?? invocation.container?.path,
            CNI_IFNAME: invocation.ifname ?? 'eth0',
            CNI_ARGS: invocation.args,
          }
        : {}),
      ...invocation.env,
    };
    return {
      args: [...this.namespace.enterArgs(), ...(invocation.under ?? []), join(this.pluginFolder, typeOf(program))],
      env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)),
      input: isText ? config : JSON.stringify(translate(config)),
    };
  }

  /** The state of the host, every container and the files, for compareSnapshots(). */
  snapshot(): Snapshot {
    return takeSnapshot(this.#named, [this.dataDir, this.runDir]);
  }

  /** What is different from `before`; empty when nothing has changed. */
  changesSince(before: Snapshot): string[] {
    return compareSnapshots(before, this.snapshot());
  }

  /** What is left of attachments made since `before`; empty when all is gone but what is meant to stay. */
  leftSince(before: Snapshot): string[] {
    return compareSnapshots(before, this.snapshot(), MEANT_TO_STAY);
  }

  /** Remove everything. */
  remove(): void {
    for (const namespace of this.#named.values()) namespace.remove();
    for (const path of [this.folder, this.runDir]) rmSync(path, { recursive: true, force: true });
  }
}

/** A configuration with the reference's type in place of ours when that is what runs. */
function translate(config: Config): Config {
  return config.type === undefined ? config : { ...config, type: typeOf(config.type) };
}

function parse(text: string): Result | ErrorDocument | undefined {
  try {
    return JSON.parse(text) as Result | ErrorDocument;
  } catch {
    return undefined; // no output, or something that is no JSON: the caller's finding
  }
}
