// A network namespace with a name, made for one case: plays the host, a container or an outside machine.

import { mustRun, type Output, run } from './command.ts';

const PREFIX = `plc-${process.pid}`;
const live = new Set<Namespace>();
let count = 0;

export class Namespace {
  readonly name: string;
  /** What a runtime passes as CNI_NETNS. */
  readonly path: string;

  private constructor(name: string) {
    this.name = name;
    this.path = `/run/netns/${name}`;
  }

  /** Make a namespace with nothing but loopback, which is up if asked for. `label` tells its part in the case. */
  static create(label: string, options: { loopback: boolean }): Namespace {
    const namespace = new Namespace(`${PREFIX}-${++count}-${label}`);
    mustRun('ip', ['netns', 'add', namespace.name]);
    live.add(namespace);
    if (options.loopback) namespace.ip('link', 'set', 'lo', 'up');
    return namespace;
  }

  /**
   * Run a program inside.
   *
   * With nsenter and not `ip netns exec`: that gives the program a mount namespace of its own, which no runtime does.
   */
  run(program: string, args: readonly string[], options: Parameters<typeof run>[2] = {}): Output {
    return run('nsenter', [...this.enterArgs(), program, ...args], options);
  }

  /** Run a program inside that must succeed, and give its standard output. */
  mustRun(program: string, args: readonly string[], options: Parameters<typeof run>[2] = {}): string {
    return mustRun('nsenter', [...this.enterArgs(), program, ...args], options);
  }

  /** The arguments of nsenter that come before the program. */
  enterArgs(): string[] {
    return [`--net=${this.path}`, '--'];
  }

  /** iproute2's `ip` on this namespace. Throws Error when it fails. */
  ip(...args: string[]): string {
    return mustRun('ip', ['-n', this.name, ...args]);
  }

  /** `ip -j`: the parsed list, empty when ip prints nothing. */
  ipJson<Item>(...args: string[]): Item[] {
    return JSON.parse(this.ip('-j', ...args).trim() || '[]') as Item[];
  }

  /** `bridge -j -d link`, likewise. */
  bridgeJson<Item>(...args: string[]): Item[] {
    return JSON.parse(mustRun('bridge', ['-n', this.name, '-j', ...args]).trim() || '[]') as Item[];
  }

  /** A kernel setting as this namespace has it, e.g. `net/ipv4/ip_forward`. */
  sysctl(key: string): string {
    return this.mustRun('cat', [`/proc/sys/${key}`]).trim();
  }

  setSysctl(key: string, value: string): void {
    this.mustRun('tee', [`/proc/sys/${key}`], { input: value });
  }

  /** Whether its path is still there. */
  get exists(): boolean {
    return run('test', ['-e', this.path]).code === 0;
  }

  /** Remove it, also when something was mounted over its path. Removing twice is fine. */
  remove(): void {
    live.delete(this);
    if (!this.exists) return;
    // Each mount over the path has to go before the file can: a case that fails half-way may leave one.
    for (let tries = 0; tries < 4; tries++) if (run('ip', ['netns', 'del', this.name]).code === 0) return;
    mustRun('ip', ['netns', 'del', this.name]);
  }
}

// A file that ends in the middle (Ctrl-C, process.exit) takes its namespaces with it.
process.on('exit', () => {
  for (const namespace of [...live]) namespace.remove();
});
