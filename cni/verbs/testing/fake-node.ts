// A node for tests of the verbs: records and locks on disk, nf_tables and rtnetlink in memory, and a mode and a feature that
// note what they are asked and fail where a test wants it. Addresses come from host-local itself, or from a foreign plugin
// that notes its verbs likewise. The sandbox is the namespace of the test, which nothing is done in.

import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attached, Expected } from '../../attachment/attachment.ts';
import { hostInterfaceAlias, hostInterfaceName, ifbAlias, ifbName } from '../../attachment/marks.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { recordPath } from '../../attachment/record-path.ts';
import { findRecord } from '../../attachment/record-store.ts';
import type { Feature } from '../../features/feature.ts';
import { masqueradeElements } from '../../features/masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../../features/masquerade/masquerade-ruleset.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import type { NftablesConnection } from '../../kernel/nftables/connection.ts';
import { FakeNftables } from '../../kernel/nftables/fake-nftables.ts';
import type { Detachment, Mode } from '../../modes/mode.ts';
import { parseCniArgs } from '../../protocol/args.ts';
import { type AttachmentKey, networkConfigOf } from '../../protocol/config.ts';
import type { AttachmentRequest, NetworkRequest } from '../../protocol/request.ts';
import { Context } from '../context.ts';
import { findTrustedRecord } from '../del.ts';
import { Stopwatch } from '../log/stopwatch.ts';
import { FAKE_IPAM, FakeIpam, type IpamVerb } from './fake-ipam.ts';
import { FakeLinks, type LinkChange } from './fake-links.ts';

/** The namespace of the test itself, as a runtime that sets CNI_NETNS_OVERRIDE may name it. */
const OWN_NETNS = '/proc/self/ns/net';
const KEY: AttachmentKey = { network: 'pods', containerId: 'c1', ifname: 'eth0' };

/** A step that the mode, the feature, IPAM or the undo stack takes, or a change to links or nftables. */
export type Step =
  | LinkChange
  | 'elements'
  | `ipam ${IpamVerb}`
  | 'mode plan'
  | 'mode attach'
  | 'mode undo'
  | 'mode check'
  | 'mode repair'
  | 'mode detach'
  | 'mode status'
  | 'feature early objects'
  | 'feature namespace'
  | 'feature interface'
  | 'feature objects'
  | 'feature apply'
  | 'feature settle'
  | 'feature check'
  | 'feature remove';

class FakeContext extends Context {
  readonly fakeNft = new FakeNftables();
  readonly links = new FakeLinks();

  override get route(): NetlinkConnection {
    return this.links.route;
  }

  override get nft(): NftablesConnection {
    return this.fakeNft.connection;
  }

  /** How often nftables was to be opened anew. One in memory loses no answer. */
  renewals = 0;

  override renewNft(): void {
    this.renewals++;
  }
}

export class FakeNode {
  readonly runDir: string;
  readonly dataDir: string;
  readonly context: FakeContext;
  readonly warnings: string[] = [];
  readonly ipam: FakeIpam;
  /** What the mode was told at each removal. The sandbox is closed by now: it says whether there was one. */
  readonly detachments: (Omit<Detachment, 'sandbox'> & { readonly hadSandbox: boolean })[] = [];
  /** The record of the container as each step found it. */
  readonly seen = new Map<Step, AttachmentRecord | undefined>();
  /** What a step throws. */
  readonly failures = new Map<Step, Error>();
  /** The networks in which the mode and the feature find something wrong. */
  readonly damaged = new Set<string>();
  /** Whether attachments have links on the host, one of the mode's and one of the feature's, and elements in nftables. */
  readonly isWhole: boolean;
  /** Called before a step is taken: the place for a test to be somebody else at the same time. */
  beforeStep: (step: Step) => void = () => undefined;
  /** Called before a mode is looked up: likewise. */
  beforeMode: () => void = () => undefined;
  /** What the mode was last told that an attachment must be. */
  expected: Expected | undefined;
  /** What a repair of the mode's makes otherwise than before. */
  repaired: Attached | undefined;
  /** Make a network's attachments as they should be. */
  mend: (network: string) => void = (network) => this.damaged.delete(network);
  readonly #folder: string;
  readonly #log: string;

  constructor({ isWhole = false } = {}) {
    this.isWhole = isWhole;
    this.#folder = mkdtempSync(join(tmpdir(), 'podlink-verbs-'));
    this.runDir = join(this.#folder, 'run');
    this.dataDir = join(this.#folder, 'ipam');
    this.#log = join(this.#folder, 'steps');
    writeFileSync(this.#log, '');
    this.ipam = new FakeIpam(this.#folder, this.#log, recordPath(this.runDir, KEY));
    const findMode = (): Mode => {
      this.beforeMode();
      return this.#mode();
    };
    const parts = { findMode, features: [this.#feature()] };
    const warn = (message: string): void => void this.warnings.push(message);
    this.context = new FakeContext({ PODLINK_RUN_DIR: this.runDir }, warn, new Stopwatch(), parts);
    if (!isWhole) return;
    this.context.links.before = (change) => this.#take(change);
    this.context.fakeNft.beforeBatch = () => this.#take('elements');
  }

  /** In the order they were taken in. */
  get steps(): Step[] {
    return readFileSync(this.#log, 'utf8').split('\n').slice(0, -1) as Step[];
  }

  /** Whether the attachments of the network `pods` have something wrong. */
  set isDamaged(value: boolean) {
    if (value) this.damaged.add('pods');
    else this.damaged.delete('pods');
  }

  /** What host-local has given out. */
  get addresses(): string[] {
    const folder = join(this.dataDir, 'pods');
    return existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name)) : [];
  }

  /** The elements of masquerading: their comments. */
  get elements(): (string | undefined)[] {
    return Object.values(this.context.fakeNft.elementsOf('podlink', 'masquerade_v4'));
  }

  /** A request as the runtime's. `more`: keys of the configuration on top. */
  request(command: 'ADD' | 'DEL' | 'CHECK' = 'ADD', more: Readonly<Record<string, unknown>> = {}): AttachmentRequest {
    const config = this.#config(more);
    return {
      command,
      containerId: KEY.containerId,
      netns: OWN_NETNS,
      ifname: KEY.ifname,
      args: parseCniArgs(''),
      malformedArg: undefined,
      path: [this.ipam.path],
      config: networkConfigOf(config),
      stdin: JSON.stringify(config),
      netnsOverride: true,
    };
  }

  networkRequest(command: 'GC' | 'STATUS', more: Readonly<Record<string, unknown>> = {}): NetworkRequest {
    const config = this.#config(more);
    return { command, path: [this.ipam.path], config: networkConfigOf(config), stdin: JSON.stringify(config) };
  }

  get record(): AttachmentRecord | undefined {
    return findRecord(this.runDir, KEY);
  }

  /** Forget which steps were taken. */
  forget(): void {
    writeFileSync(this.#log, '');
    this.seen.clear();
    this.detachments.length = 0;
  }

  /** The configuration's `ipam` for the plugin that notes its verbs. */
  get foreign(): { readonly ipam: { readonly type: string } } {
    return { ipam: { type: FAKE_IPAM } };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #config(more: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
    const ipam = { type: 'host-local', dataDir: this.dataDir, subnet: '10.1.0.0/24' };
    return { cniVersion: '1.1.0', name: 'pods', type: 'podlink', ipam, ...more };
  }

  #take(step: Step): void {
    this.beforeStep(step);
    appendFileSync(this.#log, `${step}\n`);
    // The look of the test itself is no reason to warn.
    const warned = this.warnings.length;
    this.seen.set(step, findTrustedRecord(KEY, this.context));
    this.warnings.splice(warned);
    const failure = this.failures.get(step);
    if (failure) throw failure;
  }

  #linkOfMode(key: AttachmentKey) {
    return { name: hostInterfaceName(key), kind: 'veth', alias: hostInterfaceAlias(key) };
  }

  #linkOfFeature(key: AttachmentKey) {
    return { name: ifbName(key), kind: 'ifb', alias: ifbAlias(key) };
  }

  #mode(): Mode {
    return {
      name: 'bridge',
      hasOwnInterface: true,
      hasBridge: true,
      sharesNamespace: false,
      plan: ({ key }) => {
        this.#take('mode plan');
        return {
          objects: () => ({ bridge: 'fake0', ...(this.isWhole && { hostInterface: hostInterfaceName(key) }) }),
          attach: ({ undo, sandbox }, addressing) => {
            undo.push('undo the mode', () => {
              this.#take('mode undo');
              this.context.links.lose(hostInterfaceName(key));
            });
            if (this.isWhole) this.context.links.add({ ...this.#linkOfMode(key), masterIndex: 99 });
            sandbox.beforeUp?.();
            this.#take('mode attach');
            const own = { name: key.ifname, mac: '02:00:00:00:00:01', sandbox: OWN_NETNS };
            return { ...addressing, interfaces: [own], ips: addressing.ips.map((ip) => ({ ...ip, interface: 0 })) };
          },
          status: () => this.#take('mode status'),
          check: (_, expected) => {
            this.expected = expected;
            this.#take('mode check');
            return this.damaged.has(key.network) ? [{ code: 'bridge-gone', subject: 'fake0' }] : [];
          },
          repair: () => {
            this.#take('mode repair');
            this.mend(key.network);
            return this.repaired;
          },
        };
      },
      links: (key) => (this.isWhole ? [this.#linkOfMode(key)] : []),
      detach: (_, { sandbox, ...known }) => {
        this.detachments.push({ ...known, hadSandbox: sandbox !== undefined });
        this.#take('mode detach');
      },
    };
  }

  #feature(): Feature {
    return {
      name: 'fake',
      rulesets: this.isWhole ? [MASQUERADE_RULESET] : [],
      plan: ({ key }) => ({
        early: {
          objects: () => {
            this.#take('feature early objects');
            return { early: true };
          },
          setNamespace: () => this.#take('feature namespace'),
          setInterface: () => this.#take('feature interface'),
        },
        objects: () => {
          this.#take('feature objects');
          return { made: 'thing' };
        },
        apply: () => {
          this.#take('feature apply');
          if (this.isWhole) this.context.links.add(this.#linkOfFeature(key));
        },
        nftables: ({ addresses }) => ({
          rulesets: [MASQUERADE_RULESET],
          elements: this.isWhole ? masqueradeElements(addresses) : [],
        }),
        settle: () => this.#take('feature settle'),
        check: () => {
          this.#take('feature check');
          return this.damaged.has(key.network) ? [{ code: 'forwarding-off', subject: 'IPv4' }] : [];
        },
      }),
      links: ({ key }) => (this.isWhole ? [this.#linkOfFeature(key)] : []),
      remove: (_, { key }) => {
        this.#take('feature remove');
        this.context.links.lose(ifbName(key), ifbAlias(key));
      },
    };
  }
}
