// Network namespaces for tests of the kernel, with ip(8) and bridge(8) as referees of what is in them.

import { execFileSync } from 'node:child_process';
import type { NetlinkConnection } from '../netlink/connection.ts';
import { type Netns, openNetns } from '../netns.ts';
import { openRtnetlink } from '../rtnetlink/socket.ts';

/** A link as `ip -json -details link show` describes it: what the tests look at. */
export interface RefereedLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly master?: string;
  readonly operstate: string;
  readonly address: string;
  readonly promiscuity: number;
  readonly ifalias?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: Readonly<Record<string, unknown>>;
    readonly info_slave_kind?: string;
    readonly info_slave_data?: Readonly<Record<string, unknown>>;
  };
}

export interface TestNamespace {
  readonly name: string;
  readonly path: string;
  readonly netns: Netns;
  /** rtnetlink of this namespace. */
  readonly route: NetlinkConnection;
  /** Run `ip -n NAME …` and return what it prints. Throws when it fails. */
  ip(...args: readonly string[]): string;
  /** Run `ip -n NAME -json -details …`. */
  ipJson<Item>(...args: readonly string[]): Item[];
  /** Run `bridge -n NAME -json -details …`. */
  bridgeJson<Item>(...args: readonly string[]): Item[];
  /** All links but lo, by name. */
  links(): Map<string, RefereedLink>;
  /** One link. Throws when there is none. */
  link(name: string): RefereedLink;
}

let made = 0;

/** Run a test in a new network namespace, which is removed however the test ends. */
export async function withNamespace(work: (ns: TestNamespace) => void | Promise<void>): Promise<void> {
  const ns = addNamespace();
  try {
    await work(ns);
  } finally {
    removeNamespace(ns);
  }
}

/** The same with two: one that plays the host, one that plays the container's sandbox. */
export async function withHostAndSandbox(
  work: (host: TestNamespace, sandbox: TestNamespace) => void | Promise<void>,
): Promise<void> {
  await withNamespace((host) => withNamespace((sandbox) => work(host, sandbox)));
}

function addNamespace(): TestNamespace {
  const name = `plk-${process.pid}-${++made}`;
  run('ip', ['netns', 'add', name]);
  const path = `/run/netns/${name}`;
  try {
    const netns = openNetns(path);
    const ipJson = <Item>(...args: readonly string[]) => parse<Item>(run('ip', ['-n', name, '-j', '-d', ...args]));
    const links = () =>
      new Map(
        ipJson<RefereedLink>('link', 'show')
          .filter(({ ifname }) => ifname !== 'lo')
          .map((link) => [link.ifname, link]),
      );
    return {
      name,
      path,
      netns,
      route: openRtnetlink(netns),
      ip: (...args) => run('ip', ['-n', name, ...args]),
      ipJson,
      bridgeJson: <Item>(...args: readonly string[]) => parse<Item>(run('bridge', ['-n', name, '-j', '-d', ...args])),
      links,
      link(wanted) {
        const link = links().get(wanted);
        if (!link) throw new Error(`Cannot find link "${wanted}" in namespace ${name}`);
        return link;
      },
    };
  } catch (error) {
    run('ip', ['netns', 'del', name]);
    throw error;
  }
}

function removeNamespace({ name, netns, route }: TestNamespace): void {
  route.close();
  netns.close();
  run('ip', ['netns', 'del', name]);
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 << 20 });
}

/** ip(8) prints nothing at all for an empty list, and `{}` for what it leaves out of one. */
function parse<Item>(json: string): Item[] {
  const list = json.trim() === '' ? [] : (JSON.parse(json) as Item[]);
  return list.filter((item) => Object.keys(item as object).length > 0);
}
