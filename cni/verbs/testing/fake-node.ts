// A node for tests of the verbs: records and locks on disk, nf_tables and rtnetlink in memory, and a mode and a feature that
// note what they are asked and fail where a test wants it. Addresses come from host-local itself. The sandbox is the
// namespace of the test, which nothing is done in.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyOf } from '../../attachment/key.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { findRecord } from '../../attachment/record-store.ts';
import type { Feature } from '../../features/feature.ts';
import { ENODEV } from '../../kernel/errno.ts';
import { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { acknowledge, done, type FakeReply, FakeTransport } from '../../kernel/netlink/fake-transport.ts';
import { type Message, NLM_F_DUMP } from '../../kernel/netlink/message.ts';
import type { NftablesConnection } from '../../kernel/nftables/connection.ts';
import { FakeNftables } from '../../kernel/nftables/fake-nftables.ts';
import type { Mode } from '../../modes/mode.ts';
import { parseCniArgs } from '../../protocol/args.ts';
import { networkConfigOf } from '../../protocol/config.ts';
import type { AttachmentRequest, NetworkRequest } from '../../protocol/request.ts';
import { Context } from '../context.ts';
import { findTrustedRecord } from '../del.ts';
import { Stopwatch } from '../log/stopwatch.ts';

/** The namespace of the test itself, as a runtime that sets CNI_NETNS_OVERRIDE may name it. */
const OWN_NETNS = '/proc/self/ns/net';
const CONTAINER = 'c1';

/** A step that the mode, the feature or the undo stack takes. */
export type Step =
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

/** rtnetlink of a node without a link. */
function answerAsEmpty({ flags }: Message): FakeReply[] {
  return [(flags & NLM_F_DUMP) === NLM_F_DUMP ? done() : acknowledge(ENODEV)];
}

class FakeContext extends Context {
  readonly fakeNft = new FakeNftables();
  readonly #route = new NetlinkConnection(new FakeTransport(answerAsEmpty));

  override get route(): NetlinkConnection {
    return this.#route;
  }

  override get nft(): NftablesConnection {
    return this.fakeNft.connection;
  }

  override renewNft(): void {
    // One in memory loses no answer.
  }
}

export class FakeNode {
  readonly runDir: string;
  readonly dataDir: string;
  readonly context: FakeContext;
  readonly warnings: string[] = [];
  readonly steps: Step[] = [];
  /** The record of the container as each step found it. */
  readonly seen = new Map<Step, AttachmentRecord | undefined>();
  /** What a step throws. */
  readonly failures = new Map<Step, Error>();
  /** Whether the mode and the feature find something wrong. */
  isDamaged = false;
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'podlink-verbs-'));
    this.runDir = join(this.#folder, 'run');
    this.dataDir = join(this.#folder, 'ipam');
    const parts = { findMode: () => this.#mode(), features: [this.#feature()] };
    const warn = (message: string): void => void this.warnings.push(message);
    this.context = new FakeContext({ PODLINK_RUN_DIR: this.runDir }, warn, new Stopwatch(), parts);
  }

  /** A request as the runtime's. `more`: keys of the configuration on top. */
  request(command: 'ADD' | 'DEL' | 'CHECK' = 'ADD', more: Readonly<Record<string, unknown>> = {}): AttachmentRequest {
    const config = this.#config(more);
    return {
      command,
      containerId: CONTAINER,
      netns: OWN_NETNS,
      ifname: 'eth0',
      args: parseCniArgs(''),
      malformedArg: undefined,
      path: [],
      config: networkConfigOf(config),
      stdin: JSON.stringify(config),
      netnsOverride: true,
    };
  }

  networkRequest(command: 'GC' | 'STATUS', more: Readonly<Record<string, unknown>> = {}): NetworkRequest {
    const config = this.#config(more);
    return { command, path: [], config: networkConfigOf(config), stdin: JSON.stringify(config) };
  }

  get record(): AttachmentRecord | undefined {
    return findRecord(this.runDir, keyOf(this.request()));
  }

  /** Forget which steps were taken. */
  forget(): void {
    this.steps.length = 0;
    this.seen.clear();
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #config(more: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
    const ipam = { type: 'host-local', dataDir: this.dataDir, subnet: '10.1.0.0/24' };
    return { cniVersion: '1.1.0', name: 'pods', type: 'podlink', ipam, ...more };
  }

  #take(step: Step): void {
    this.steps.push(step);
    // The look of the test itself is no reason to warn.
    const warned = this.warnings.length;
    this.seen.set(step, findTrustedRecord(keyOf(this.request()), this.context));
    this.warnings.splice(warned);
    const failure = this.failures.get(step);
    if (failure) throw failure;
  }

  #mode(): Mode {
    return {
      name: 'bridge',
      hasOwnInterface: true,
      hasBridge: true,
      sharesNamespace: false,
      plan: () => {
        this.#take('mode plan');
        return {
          objects: () => ({ bridge: 'fake0' }),
          attach: ({ undo, sandbox }, addressing) => {
            undo.push('undo the mode', () => this.#take('mode undo'));
            sandbox.beforeUp?.();
            this.#take('mode attach');
            const own = { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: OWN_NETNS };
            return { ...addressing, interfaces: [own], ips: addressing.ips.map((ip) => ({ ...ip, interface: 0 })) };
          },
          status: () => this.#take('mode status'),
          check: () => {
            this.#take('mode check');
            return this.isDamaged ? [{ code: 'bridge-gone', subject: 'fake0' }] : [];
          },
          repair: () => {
            this.#take('mode repair');
            this.isDamaged = false;
            return undefined;
          },
        };
      },
      links: () => [],
      detach: () => this.#take('mode detach'),
    };
  }

  #feature(): Feature {
    return {
      name: 'fake',
      rulesets: [],
      plan: () => ({
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
        apply: () => this.#take('feature apply'),
        settle: () => this.#take('feature settle'),
        check: () => {
          this.#take('feature check');
          return this.isDamaged ? [{ code: 'forwarding-off', subject: 'IPv4' }] : [];
        },
      }),
      remove: () => this.#take('feature remove'),
    };
  }
}
